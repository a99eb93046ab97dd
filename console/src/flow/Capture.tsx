import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useMutation } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { api, postFile, read, type Schemas } from "../api/client";
import { Problem } from "../api/problems";
import { useWords } from "../i18n";
import { FileButton, PICTURES } from "../ui/FileButton";
import { ProblemAlert } from "../ui/ProblemAlert";
import { Kbd, useShortcuts } from "../ui/shortcuts";
import { useSignal } from "../ui/signal";
import { cameraIn, frameOf, useDeviceCamera } from "./camera";
import { AgentPreview, DevicePreview, Guide, useEvery } from "./Preview";
import { type Fault, faultOf, look, lookInto, type Quality } from "./quality";
import { nameOf, type PictureSource, SourceChoice, useSource } from "./sources";

type Reply = Schemas["ImageReply"];
interface Props {
  sessionId: string;
  itemId: string;
  onTaken: (reply: Reply) => void;
  onBack?: () => void;
}
const GAUGE_MS = 300;

/** Takes or chooses the item's picture; a blurred or badly exposed one is asked about first. */
export function Capture(props: Props) {
  const { t } = useWords();
  const [source, sources, choose] = useSource();
  if (source === undefined) return null;
  return (
    <Stack spacing={1}>
      <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap" }}>
        <SourceChoice source={source} sources={sources} onChange={choose} />
        {props.onBack && <Button onClick={props.onBack}>{t("back")}</Button>}
      </Stack>
      {source.kind === "file" ? (
        <FromFile {...props} />
      ) : (
        <FromCamera key={nameOf(source)} source={source} {...props} />
      )}
    </Stack>
  );
}

/** A picture as the window has it, or one that the agent's camera of this name shall take. */
type Taken = File | Shot | string;
interface Shot {
  picture: Blob;
  camera: string;
}

function useSend({ sessionId, itemId, onTaken }: Props) {
  const signal = useSignal();
  const path = `/sessions/${sessionId}/items/${itemId}`;
  return useMutation({
    mutationFn: (taken: Taken) =>
      typeof taken === "string"
        ? read(
            api.POST("/api/v1/sessions/{session_id}/items/{item_id}/captures", {
              params: { path: { session_id: sessionId, item_id: itemId } },
              body: { camera: taken },
            }),
          )
        : taken instanceof File
          ? postFile<Reply>(`${path}/images?name=${encodeURIComponent(taken.name.slice(-200))}`, taken)
          : postFile<Reply>(`${path}/images?camera=${encodeURIComponent(taken.camera)}`, taken.picture),
    onSuccess: onTaken,
    onError: () => signal("wrong"),
  });
}

function FromFile(props: Props) {
  const { t } = useWords();
  const send = useSend(props);
  const [doubtful, setDoubtful] = useState<{ file: File; fault: Fault } | null>(null);
  const choose = async (file: File) => {
    const quality = await lookInto(file);
    const fault = quality && faultOf(quality);
    setDoubtful(fault ? { file, fault } : null);
    if (!fault) send.mutate(file);
  };
  return (
    <>
      <ProblemAlert error={send.error} onClose={send.reset} />
      {doubtful && (
        <Doubt
          fault={doubtful.fault}
          onUse={() => send.mutate(doubtful.file)}
          onAgain={() => setDoubtful(null)}
          isBusy={send.isPending}
        />
      )}
      <FileButton
        accept={PICTURES}
        label={t("capture.file")}
        isBusy={send.isPending}
        onFile={(file) => void choose(file)}
      />
    </>
  );
}

function FromCamera(props: Props & { source: PictureSource }) {
  const { t } = useWords();
  const { source } = props;
  const send = useSend(props);
  const picture = useRef<HTMLImageElement>(null);
  const device = useDeviceCamera(source.kind === "device");
  const [quality, setQuality] = useState<Quality | null>(null);
  const [failure, setFailure] = useState<unknown>(null);
  const [isDoubted, setIsDoubted] = useState(false);
  const [tries, setTries] = useState(0);
  const fault = quality && faultOf(quality);
  useEvery(GAUGE_MS, () => {
    const seen = source.kind === "agent" ? picture.current : device.video.current;
    setQuality(seen && look(seen));
  });
  const take = async () => {
    setIsDoubted(false);
    if (source.kind === "agent") return send.mutate(source.camera);
    const video = device.video.current;
    const picture = video && (await frameOf(video));
    if (picture) send.mutate({ picture, camera: cameraIn(video) });
  };
  const press = () => (fault ? setIsDoubted(true) : void take());
  const isReady = source.kind === "agent" || quality !== null; // the window's own camera has nothing to take before
  useShortcuts({ " ": isReady && !send.isPending && press });
  const again = () => {
    setFailure(null);
    setTries(tries + 1);
  };
  return (
    <>
      <ProblemAlert error={send.error} onClose={send.reset} />
      <ProblemAlert error={device.problem ?? failure} onRetry={failure ? again : undefined} />
      <Guide>
        {source.kind === "agent" ? (
          <AgentPreview
            key={tries}
            camera={source.camera}
            picture={picture}
            onFail={() => void whyNot(source.camera).then(setFailure)}
          />
        ) : (
          <DevicePreview video={device.video} />
        )}
      </Guide>
      <Gauge quality={quality} />
      {isDoubted && fault && (
        <Doubt
          fault={fault}
          onUse={() => void take()}
          onAgain={() => setIsDoubted(false)}
          isBusy={send.isPending}
        />
      )}
      <Button
        variant="contained"
        autoFocus
        disabled={!isReady}
        loading={send.isPending}
        onClick={press}
        sx={{ minHeight: 80, fontSize: "1.4rem" }}
        data-testid="shutter"
      >
        {t("capture.shoot")} <Kbd>Space</Kbd>
      </Button>
    </>
  );
}

/** A picture element only says that it failed: the camera's own answer says why. */
async function whyNot(camera: string): Promise<Problem> {
  try {
    await api.POST("/api/v1/cameras/{name}/capture", { params: { path: { name: camera } }, parseAs: "blob" });
  } catch (error) {
    return error as Problem;
  }
  return new Problem({ code: "preview-ended" });
}

function Gauge({ quality }: { quality: Quality | null }) {
  const { t, number } = useWords();
  if (quality === null) return <Typography role="status">{t("quality.waiting")}</Typography>;
  const fault = faultOf(quality);
  const facts = { sharpness: number(quality.sharpness), brightness: number(quality.brightness) };
  return (
    <Alert
      severity={fault ? "warning" : "success"}
      role="status"
      data-testid="quality"
      data-fault={fault ?? ""}
    >
      {t(fault ? `quality.${fault}` : "quality.good")} {t("quality.facts", facts)}
    </Alert>
  );
}

function Doubt(props: { fault: Fault; onUse: () => void; onAgain: () => void; isBusy: boolean }) {
  const { t } = useWords();
  return (
    <Alert severity="warning" data-testid="doubt">
      <Typography>{t(`quality.${props.fault}`)}</Typography>
      <Stack direction="row" spacing={1} sx={{ mt: 1 }}>
        <Button variant="contained" autoFocus onClick={props.onAgain}>
          {t("capture.again")}
        </Button>
        <Button onClick={props.onUse} loading={props.isBusy}>
          {t("capture.anyway")}
        </Button>
      </Stack>
    </Alert>
  );
}
