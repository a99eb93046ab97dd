/** What a camera sees, live, under a guide frame. */
import Box from "@mui/material/Box";
import { type ReactNode, type RefObject, useEffect, useRef } from "react";

export const previewUrl = (camera: string): string =>
  `/api/v1/cameras/${encodeURIComponent(camera)}/preview?fps=12&width_px=960`;

/** A camera of the agent's, as a stream of pictures that ends when this goes. */
export function AgentPreview(props: {
  camera: string;
  picture: RefObject<HTMLImageElement | null>;
  onFail: () => void;
}) {
  const { picture } = props;
  useEffect(() => {
    const shown = picture.current;
    return () => shown?.removeAttribute("src"); // else the browser keeps the stream open
  }, [picture]);
  return <img ref={picture} src={previewUrl(props.camera)} alt="" onError={props.onFail} style={FILL} />;
}

export function DevicePreview({ video }: { video: RefObject<HTMLVideoElement | null> }) {
  return <video ref={video} muted playsInline style={FILL} />;
}

const FILL = { width: "100%", height: "100%", objectFit: "contain", display: "block" } as const;

/** The frame that shows where the product belongs. */
export function Guide({ children }: { children: ReactNode }) {
  return (
    <Box
      sx={{
        position: "relative",
        bgcolor: "#000",
        borderRadius: 1,
        overflow: "hidden",
        aspectRatio: "4/3",
        width: "min(100%, calc(52vh * 4 / 3))",
        alignSelf: "center",
      }}
    >
      {children}
      <Box
        aria-hidden
        sx={{
          position: "absolute",
          inset: "6%",
          border: "3px dashed #fff",
          borderRadius: 1,
          outline: "1px solid rgba(0,0,0,.6)",
          pointerEvents: "none",
        }}
      />
    </Box>
  );
}

/** Calls `act` every so often while this is shown. */
export function useEvery(interval_ms: number, act: () => void): void {
  const latest = useRef(act);
  useEffect(() => {
    latest.current = act;
  });
  useEffect(() => {
    const timer = setInterval(() => latest.current(), interval_ms);
    return () => clearInterval(timer);
  }, [interval_ms]);
}
