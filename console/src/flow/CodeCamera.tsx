import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useMutation } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { postFile, type Schemas } from "../api/client";
import { useWords } from "../i18n";
import { FileButton, PICTURES } from "../ui/FileButton";
import { ProblemAlert } from "../ui/ProblemAlert";
import { frameOf, useDeviceCamera } from "./camera";
import { AgentPreview, DevicePreview, Guide, useEvery } from "./Preview";
import { shotOf } from "./shot";
import { type PictureSource, SourceChoice, useSource } from "./sources";

const LOOK_MS = 700;

/** Looks for a code in what a camera sees; the agent reads it, so nothing leaves the machine. */
export function CodeCamera(props: { onCode: (text: string) => void; isBusy: boolean }) {
  const [source, sources, choose] = useSource();
  if (source === undefined) return null;
  return (
    <Stack spacing={1}>
      <SourceChoice source={source} sources={sources} onChange={choose} />
      {source.kind === "file" ? <CodeFile {...props} /> : <Watching source={source} {...props} />}
    </Stack>
  );
}

function useCodeReader(onCode: (text: string) => void) {
  const reader = useMutation({
    mutationFn: (picture: Blob) => postFile<Schemas["PictureScanReply"]>("/scans/picture", picture),
  });
  const told = ({ answer, codes }: Schemas["PictureScanReply"]) => {
    const text = answer?.scan.text ?? codes[0]?.text;
    if (text) onCode(text); // an unknown code is tried too: the answer says why it is none
  };
  const { data, error, isPending } = reader;
  return { look: (picture: Blob) => reader.mutate(picture, { onSuccess: told }), data, error, isPending };
}

function Watching(props: { source: PictureSource; onCode: (text: string) => void; isBusy: boolean }) {
  const { t } = useWords();
  const { source } = props;
  const picture = useRef<HTMLImageElement>(null);
  const [hasFailed, setHasFailed] = useState(false);
  const device = useDeviceCamera(source.kind === "device");
  const reader = useCodeReader(props.onCode);
  const isTaking = useRef(false);
  useEvery(LOOK_MS, () => {
    if (props.isBusy || isTaking.current || reader.isPending || hasFailed || device.problem) return;
    const shot =
      source.kind === "agent" ? shotOf(source.camera) : device.video.current && frameOf(device.video.current);
    isTaking.current = true;
    void Promise.resolve(shot)
      .then((blob) => blob && reader.look(blob))
      .catch(() => setHasFailed(true))
      .finally(() => (isTaking.current = false));
  });
  return (
    <>
      <ProblemAlert error={device.problem ?? reader.error} />
      {hasFailed && <Typography role="alert">{t("camera.failed")}</Typography>}
      <Guide>
        {source.kind === "agent" ? (
          <AgentPreview camera={source.camera} picture={picture} onFail={() => setHasFailed(true)} />
        ) : (
          <DevicePreview video={device.video} />
        )}
      </Guide>
      <Typography>{t("scan.looking")}</Typography>
    </>
  );
}

function CodeFile(props: { onCode: (text: string) => void; isBusy: boolean }) {
  const { t } = useWords();
  const reader = useCodeReader(props.onCode);
  return (
    <>
      <ProblemAlert error={reader.error} />
      {reader.data && reader.data.codes.length === 0 && (
        <Typography role="alert">{t("scan.nocode")}</Typography>
      )}
      <FileButton accept={PICTURES} label={t("scan.file")} isBusy={reader.isPending} onFile={reader.look} />
    </>
  );
}
