/** Cameras, hot folders and the files that were set aside. */
import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import CardContent from "@mui/material/CardContent";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { api, read, type Schemas } from "../api/client";
import { cameras } from "../api/queries";
import { AgentPreview, Guide } from "../flow/Preview";
import { useWords } from "../i18n";
import { Action } from "../ui/Action";
import { Facts } from "../ui/Grid";
import { Loaded } from "../ui/Page";
import { Section } from "../ui/Section";
import { CameraForm, FolderForm, Removal } from "./EquipmentForms";
import { folders, quarantine } from "./queries";
import { TechPage, useIsTechnician } from "./TechPage";

export function Equipment() {
  const { t } = useWords();
  const known = useQuery(cameras);
  const watched = useQuery(folders);
  const aside = useQuery(quarantine);
  const isTechnician = useIsTechnician();
  return (
    <TechPage title={t("tech.equipment")}>
      <Section title={t("cameras")}>
        <Loaded of={known}>
          {(list) =>
            list.cameras.length === 0 ? (
              <Typography>{t("cameras.none")}</Typography>
            ) : (
              list.cameras.map((one) => <CameraState key={one.name} camera={one} />)
            )
          }
        </Loaded>
        {isTechnician && <CameraForm />}
      </Section>
      <Section title={t("folders")}>
        <Loaded of={watched}>
          {(list) =>
            list.folders.length === 0 ? (
              <Typography>{t("folders.none")}</Typography>
            ) : (
              list.folders.map((one) => <FolderState key={one.config.name} folder={one} />)
            )
          }
        </Loaded>
        {isTechnician && <FolderForm />}
      </Section>
      <Section title={t("quarantine")}>
        <Loaded of={aside}>
          {(list) =>
            list.entries.length === 0 ? (
              <Typography>{t("quarantine.none")}</Typography>
            ) : (
              list.entries.map((one) => <SetAside key={one.id} entry={one} />)
            )
          }
        </Loaded>
      </Section>
    </TechPage>
  );
}

function CameraState({ camera }: { camera: Schemas["CameraStatus"] }) {
  const { t, number } = useWords();
  const [isShown, setIsShown] = useState(false);
  const [isFailed, setIsFailed] = useState(false);
  const [isChanging, setIsChanging] = useState(false);
  const picture = useRef<HTMLImageElement>(null);
  const isTechnician = useIsTechnician();
  const show = () => {
    setIsFailed(false);
    setIsShown(!isShown);
  };
  return (
    <Card variant="outlined" data-testid="camera">
      <CardContent>
        <Typography sx={{ fontWeight: 600 }}>{camera.name}</Typography>
        <Typography>
          {camera.source} · {t("cameras.frames", { count: number(camera.frames) })}
        </Typography>
        {camera.problem && <Trouble hint={t("cameras.trouble")} detail={camera.problem} />}
        {isFailed && <Alert severity="error">{t("camera.failed")}</Alert>}
        <Stack spacing={1}>
          <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap" }}>
            <Button onClick={show}>{t(isShown ? "cameras.hide" : "cameras.show")}</Button>
            {isTechnician && <ChangeButton isOpen={isChanging} onChange={setIsChanging} />}
            {isTechnician && <Removal noun="camera" name={camera.name} />}
          </Stack>
          {isChanging && <CameraForm camera={camera} onDone={() => setIsChanging(false)} />}
          {isShown && !isFailed && (
            <Guide>
              <AgentPreview camera={camera.name} picture={picture} onFail={() => setIsFailed(true)} />
            </Guide>
          )}
        </Stack>
      </CardContent>
    </Card>
  );
}

function FolderState({ folder: { config, status } }: { folder: Schemas["FolderBody"] }) {
  const { t, time, number } = useWords();
  const [isChanging, setIsChanging] = useState(false);
  const isTechnician = useIsTechnician();
  return (
    <Card variant="outlined" data-testid="folder">
      <CardContent>
        <Typography sx={{ fontWeight: 600 }}>{config.name}</Typography>
        {status?.problem && <Trouble hint={t("folders.trouble")} detail={status.problem} />}
        <Facts
          facts={[
            [t("folders.path"), config.path],
            [t("folders.taken"), number(status?.taken ?? 0)],
            [t("folders.waiting"), number(status?.waiting ?? 0)],
            [t("folders.duplicates"), number(status?.duplicates ?? 0)],
            [t("quarantine"), number(status?.quarantined ?? 0)],
            [t("folders.last"), status?.last_taken_at ? time(status.last_taken_at) : "—"],
          ]}
        />
        {isTechnician && (
          <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap", mt: 1 }}>
            <ChangeButton isOpen={isChanging} onChange={setIsChanging} />
            <Removal noun="folder" name={config.name} />
          </Stack>
        )}
        {isChanging && <FolderForm folder={config} onDone={() => setIsChanging(false)} />}
      </CardContent>
    </Card>
  );
}

function ChangeButton(props: { isOpen: boolean; onChange: (isOpen: boolean) => void }) {
  const { t } = useWords();
  return (
    <Button aria-expanded={props.isOpen} onClick={() => props.onChange(!props.isOpen)}>
      {t(props.isOpen ? "back" : "equipment.change")}
    </Button>
  );
}

/** What to do, and below it what was met. */
function Trouble({ hint, detail }: { hint: string; detail: string }) {
  return (
    <Alert severity="warning">
      <Typography>{hint}</Typography>
      <Typography variant="body2" lang="en">
        {detail}
      </Typography>
    </Alert>
  );
}

function SetAside({ entry }: { entry: Schemas["QuarantineBody"] }) {
  const { t, time } = useWords();
  const params = { path: { entry_id: entry.id } };
  return (
    <Alert severity="warning" data-testid="quarantined">
      <Typography sx={{ fontWeight: 600 }}>
        {entry.folder}: {entry.name}
      </Typography>
      <Typography>{entry.hint}</Typography>
      <Typography variant="body2" lang="en">
        {entry.detail} ({entry.code}) · {time(entry.quarantined_at)}
      </Typography>
      {useIsTechnician() && (
        <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap", mt: 1 }}>
          <Action
            isMain
            label={t("retry")}
            stale="folder"
            act={() => read(api.POST("/api/v1/folders/quarantine/{entry_id}/retry", { params }))}
          />
          <Action
            label={t("quarantine.discard")}
            question={t("quarantine.sure", { name: entry.name })}
            stale="folder"
            act={() => read(api.POST("/api/v1/folders/quarantine/{entry_id}/discard", { params }))}
          />
        </Stack>
      )}
    </Alert>
  );
}
