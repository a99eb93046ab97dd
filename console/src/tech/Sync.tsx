/** How the synchronisation stands, and what a technician can do about it. */
import Alert from "@mui/material/Alert";
import Stack from "@mui/material/Stack";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, read, type Schemas } from "../api/client";
import { syncStatus } from "../api/queries";
import { useWords } from "../i18n";
import { Conflicts } from "../review/Conflicts";
import { syncText } from "../shell/SyncState";
import { Action } from "../ui/Action";
import { Facts, Grid } from "../ui/Grid";
import { Loaded } from "../ui/Page";
import { Section } from "../ui/Section";
import { Dead } from "./Dead";
import { JobView } from "./JobView";
import { Queue } from "./Queue";
import { TechPage, useIsTechnician } from "./TechPage";

const MB = 1_000_000;

export function Sync() {
  const { t } = useWords();
  const status = useQuery(syncStatus);
  const isTechnician = useIsTechnician();
  return (
    <TechPage title={t("tech.sync")}>
      <Loaded of={status}>
        {(data) => (
          <>
            <State status={data} />
            {isTechnician && <Work isPaused={data.is_paused} />}
            <Engine lanes={data.engine} />
            <Waiting status={data} />
          </>
        )}
      </Loaded>
      <Dead />
      <Conflicts />
      <Queue />
    </TechPage>
  );
}

function State({ status }: { status: Schemas["SyncStatus"] }) {
  const words = useWords();
  const { t, time } = words;
  const isWell = status.summary === "up-to-date" || status.summary === "waiting";
  return (
    <>
      <Alert severity={isWell ? "success" : "info"} data-testid="sync-summary">
        {syncText(status, words)}
      </Alert>
      <Facts
        facts={[
          [t("sync.server"), status.server ?? t("sync.nobody")],
          [t("sync.site"), status.site ?? "—"],
          [t("sync.device"), status.device_id],
          [t("sync.oldest"), status.oldest_at ? time(status.oldest_at) : "—"],
        ]}
      />
    </>
  );
}

/** Everything that can be started by hand; one at a time, so the newest is shown. */
function Work({ isPaused }: { isPaused: boolean }) {
  const { t } = useWords();
  const [jobId, setJobId] = useState<string | null>(null);
  const begun = (job: Schemas["Job"]) => setJobId(job.id);
  const repair = (dry_run: boolean) => () => read(api.POST("/api/v1/sync/repair", { body: { dry_run } }));
  return (
    <Section title={t("sync.work")}>
      <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap" }}>
        <Action
          isMain
          label={t("sync.run")}
          stale="sync"
          act={() => read(api.POST("/api/v1/sync/run"))}
          onDone={begun}
        />
        <Action
          label={t("sync.verify")}
          stale="sync"
          act={() => read(api.POST("/api/v1/sync/verify", { body: {} }))}
          onDone={begun}
        />
        <Action label={t("sync.preview")} stale="sync" act={repair(true)} onDone={begun} />
        <Action
          label={t("sync.repair")}
          stale="sync"
          question={t("sync.repair.sure")}
          act={repair(false)}
          onDone={begun}
        />
        <Action
          label={t("sync.resync")}
          stale="sync"
          question={t("sync.resync.sure")}
          act={() => read(api.POST("/api/v1/sync/resync", { body: {} }))}
          onDone={begun}
        />
        <Action
          key={String(isPaused)}
          label={t(isPaused ? "sync.resume" : "sync.pause")}
          stale="sync"
          act={() => read(isPaused ? api.POST("/api/v1/sync/resume") : api.POST("/api/v1/sync/pause"))}
        />
      </Stack>
      {jobId !== null && <JobView id={jobId} />}
    </Section>
  );
}

function Engine({ lanes }: { lanes: readonly Schemas["EngineLane"][] }) {
  const { t, time } = useWords();
  if (lanes.length === 0) return null;
  return (
    <Section title={t("sync.lanes")}>
      <Grid
        label={t("sync.lanes")}
        heads={[t("sync.lane"), t("sync.success"), t("sync.attempts"), t("sync.next"), t("sync.error")]}
        rows={lanes.map((lane) => ({
          key: lane.name,
          cells: [
            lane.name,
            lane.last_success_at ? time(lane.last_success_at) : "—",
            lane.attempts,
            lane.next_attempt_at ? time(lane.next_attempt_at) : "—",
            lane.error ? `${lane.error.title} ${lane.error.hint}` : "—",
          ],
        }))}
      />
    </Section>
  );
}

function Waiting({ status }: { status: Schemas["SyncStatus"] }) {
  const { t, time, number } = useWords();
  const count = (one: { waiting: number; is_more: boolean }) =>
    `${number(one.waiting)}${one.is_more ? "+" : ""}`;
  return (
    <Section title={t("sync.unsent")}>
      <Grid
        label={t("sync.unsent")}
        heads={[t("sync.priority"), t("sync.count"), t("sync.oldest")]}
        rows={[
          ...status.lanes.map((lane) => ({
            key: lane.priority,
            cells: [lane.priority, count(lane), time(lane.oldest_at)],
          })),
          {
            key: "images",
            cells: [t("sync.images"), `${count(status.images)} (${number(status.images.bytes / MB)} MB)`, ""],
          },
        ]}
      />
    </Section>
  );
}
