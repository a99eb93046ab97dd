/** Where pictures can come from here, and which of them this person chose last. */
import ToggleButton from "@mui/material/ToggleButton";
import ToggleButtonGroup from "@mui/material/ToggleButtonGroup";
import { useQuery } from "@tanstack/react-query";
import { cameras } from "../api/queries";
import { useWords } from "../i18n";
import { usePreferences } from "../shell/preferences";

export type PictureSource = { kind: "agent"; camera: string } | { kind: "device" } | { kind: "file" };

export const nameOf = (source: PictureSource): string =>
  source.kind === "agent" ? `agent:${source.camera}` : source.kind;

/** Every source in the order in which they are offered. */
export function sourcesOf(agentCameras: readonly string[], hasDevice: boolean): PictureSource[] {
  const own: PictureSource[] = agentCameras.map((camera) => ({ kind: "agent", camera }));
  return [...own, ...(hasDevice ? [{ kind: "device" } as const] : []), { kind: "file" }];
}

export function chosenOf(sources: readonly PictureSource[], wanted: string | null): PictureSource {
  return sources.find((source) => nameOf(source) === wanted) ?? sources[0] ?? { kind: "file" };
}

/** The source in use, all of them, and how to change; undefined until the agent's cameras are known. */
export function useSource(): [PictureSource | undefined, PictureSource[], (name: string) => void] {
  const [preferences, change] = usePreferences();
  const known = useQuery(cameras);
  const hasDevice = "mediaDevices" in navigator;
  const sources = sourcesOf(known.data?.cameras.map((camera) => camera.name) ?? [], hasDevice);
  const source = known.isPending ? undefined : chosenOf(sources, preferences.camera);
  return [source, sources, (camera) => change({ camera })];
}

export function SourceChoice(props: {
  source: PictureSource;
  sources: readonly PictureSource[];
  onChange: (name: string) => void;
}) {
  const { t } = useWords();
  return (
    <ToggleButtonGroup
      exclusive
      value={nameOf(props.source)}
      onChange={(_event, name: string | null) => name && props.onChange(name)}
      aria-label={t("source")}
      sx={{ flexWrap: "wrap" }}
    >
      {props.sources.map((source) => (
        <ToggleButton key={nameOf(source)} value={nameOf(source)}>
          {source.kind === "agent" ? source.camera : t(`source.${source.kind}`)}
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  );
}
