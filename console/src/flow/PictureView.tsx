import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Stack from "@mui/material/Stack";
import ToggleButton from "@mui/material/ToggleButton";
import ToggleButtonGroup from "@mui/material/ToggleButtonGroup";
import { useQuery } from "@tanstack/react-query";
import { type PointerEvent, useEffect, useRef, useState } from "react";
import { pictureUrl, type Schemas } from "../api/client";
import { drawn } from "../api/queries";
import { useWords } from "../i18n";
import { Kbd, useShortcuts } from "../ui/shortcuts";
import { moved, type Region, regionOf, type View, WHOLE, zoomed } from "./zoom";

const LAYERS = ["original", "overlay", "heatmap"] as const;
type Layer = (typeof LAYERS)[number];
const STEP = 1.5;

/** The photograph, with what the AI drew on it as a layer; zoom, pan, and a region to be marked. */
export function PictureView(props: {
  image: Schemas["Image"];
  hasDrawings: boolean;
  region: Region | null;
  isMarking: boolean;
  onMark: (region: Region | null) => void;
}) {
  const { t } = useWords();
  const { image } = props;
  const [wanted, setLayer] = useState<Layer>("overlay");
  const [view, setView] = useState(WHOLE);
  const overlay = useQuery({ ...drawn(image.id, "overlay"), enabled: props.hasDrawings });
  const heatmap = useQuery({ ...drawn(image.id, "heatmap"), enabled: props.hasDrawings });
  const sources = {
    original: pictureUrl(image.id, "original"),
    overlay: overlay.data,
    heatmap: heatmap.data,
  };
  const there = LAYERS.filter((layer) => sources[layer] !== undefined);
  const layer = there.includes(wanted) ? wanted : "original";
  const zoom = (factor: number) => setView((before) => zoomed(before, factor));
  useShortcuts({
    l: () => setLayer(there[(there.indexOf(layer) + 1) % there.length] ?? "original"),
    "+": () => zoom(STEP),
    "-": () => zoom(1 / STEP),
    "0": () => setView(WHOLE),
  });
  return (
    <Stack spacing={1}>
      <Frame {...props} source={sources[layer] ?? sources.original} view={view} onView={setView} />
      <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap", justifyContent: "center" }}>
        <ToggleButtonGroup
          exclusive
          value={layer}
          onChange={(_event, chosen: Layer | null) => chosen && setLayer(chosen)}
          aria-label={t("layer")}
        >
          {there.map((one) => (
            <ToggleButton key={one} value={one}>
              {t(`layer.${one}`)}
            </ToggleButton>
          ))}
        </ToggleButtonGroup>
        <Button onClick={() => zoom(STEP)} aria-label={t("zoom.in")}>
          ＋ <Kbd>+</Kbd>
        </Button>
        <Button onClick={() => zoom(1 / STEP)} aria-label={t("zoom.out")}>
          － <Kbd>-</Kbd>
        </Button>
        <Button onClick={() => setView(WHOLE)}>
          {t("zoom.whole")} <Kbd>0</Kbd>
        </Button>
      </Stack>
    </Stack>
  );
}

type Point = [number, number];

function Frame(props: {
  image: Schemas["Image"];
  source: string;
  region: Region | null;
  isMarking: boolean;
  onMark: (region: Region | null) => void;
  view: View;
  onView: (change: (before: View) => View) => void;
}) {
  const { t } = useWords();
  const { image, view, onView } = props;
  const frame = useRef<HTMLDivElement>(null);
  const touching = useRef(new Map<number, Point>());
  const from = useRef<Point | null>(null);
  useWheel(frame, onView);

  /** Where a pointer is, in frames. */
  const inFrame = (event: PointerEvent): Point => {
    const box = event.currentTarget.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const onPicture = ([x, y]: Point): Point => [(x - view.x) / view.scale, (y - view.y) / view.scale];
  const onDown = (event: PointerEvent) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    touching.current.set(event.pointerId, inFrame(event));
    if (props.isMarking) from.current = onPicture(inFrame(event));
  };
  const onMove = (event: PointerEvent) => {
    const before = touching.current.get(event.pointerId);
    if (before === undefined) return;
    const now = inFrame(event);
    const other = [...touching.current].find(([id]) => id !== event.pointerId)?.[1];
    touching.current.set(event.pointerId, now);
    if (other !== undefined) onView((old) => pinched(old, before, now, other));
    else if (props.isMarking && from.current) {
      props.onMark(regionOf(from.current, onPicture(now), image.width_px, image.height_px));
    } else onView((old) => moved(old, now[0] - before[0], now[1] - before[1]));
  };
  const onUp = (event: PointerEvent) => {
    touching.current.delete(event.pointerId);
    from.current = null;
  };
  return (
    <Box
      ref={frame}
      onPointerDown={onDown}
      onPointerMove={onMove}
      onPointerUp={onUp}
      onPointerCancel={onUp}
      data-testid="picture"
      sx={{
        position: "relative",
        overflow: "hidden",
        touchAction: "none",
        alignSelf: "center",
        bgcolor: "#000",
        cursor: props.isMarking ? "crosshair" : "grab",
      }}
      style={{
        aspectRatio: `${image.width_px} / ${image.height_px}`,
        width: `min(100%, calc(60vh * ${image.width_px / image.height_px}))`,
      }}
    >
      <div style={{ ...PICTURE, transform: transformOf(view) }}>
        <img src={props.source} alt={t("picture")} draggable={false} style={PICTURE} />
        {props.region && <Mark region={props.region} image={image} />}
      </div>
    </Box>
  );
}

const PICTURE = {
  position: "absolute",
  inset: 0,
  width: "100%",
  height: "100%",
  transformOrigin: "0 0",
} as const;
const transformOf = ({ x, y, scale }: View): string => `translate(${x * 100}%, ${y * 100}%) scale(${scale})`;

function pinched(view: View, before: Point, now: Point, other: Point): View {
  const distance = ([x, y]: Point) => Math.hypot(x - other[0], y - other[1]);
  const factor = distance(now) / Math.max(0.01, distance(before));
  return zoomed(view, factor, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
}

/** The wheel zooms; it needs a listener of its own, because React's may not keep the page from scrolling. */
function useWheel(
  frame: React.RefObject<HTMLDivElement | null>,
  onView: (change: (before: View) => View) => void,
): void {
  useEffect(() => {
    const element = frame.current;
    const onWheel = (event: WheelEvent) => {
      event.preventDefault();
      const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      onView((before) => zoomed(before, event.deltaY < 0 ? 1.2 : 1 / 1.2, x, y));
    };
    element?.addEventListener("wheel", onWheel, { passive: false });
    return () => element?.removeEventListener("wheel", onWheel);
  }, [frame, onView]);
}

function Mark({ region: [x, y, width, height], image }: { region: Region; image: Schemas["Image"] }) {
  return (
    <svg
      viewBox={`0 0 ${image.width_px} ${image.height_px}`}
      style={{ ...PICTURE, pointerEvents: "none" }}
      aria-hidden
      data-testid="mark"
    >
      <rect
        x={x}
        y={y}
        width={width}
        height={height}
        fill="none"
        stroke="#000"
        strokeWidth="6"
        vectorEffect="non-scaling-stroke"
      />
      <rect
        x={x}
        y={y}
        width={width}
        height={height}
        fill="none"
        stroke="#ffeb3b"
        strokeWidth="3"
        strokeDasharray="8 5"
        vectorEffect="non-scaling-stroke"
      />
    </svg>
  );
}
