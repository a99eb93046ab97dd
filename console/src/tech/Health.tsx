/** What is wrong right now, each with what to do; and a look at everything. */
import Alert from "@mui/material/Alert";
import AlertTitle from "@mui/material/AlertTitle";
import Stack from "@mui/material/Stack";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, read, type Schemas } from "../api/client";
import { info } from "../api/queries";
import { useWords } from "../i18n";
import { Action } from "../ui/Action";
import { Facts } from "../ui/Grid";
import { Loaded } from "../ui/Page";
import { Section } from "../ui/Section";
import { disk, findings } from "./queries";
import { TechPage } from "./TechPage";

const GB = 1_000_000_000;

export function Health() {
  const { t } = useWords();
  const found = useQuery(findings);
  const [checked, setChecked] = useState<Schemas["Finding"][] | null>(null);
  return (
    <TechPage title={t("tech.health")}>
      <Loaded of={found}>{(list) => <Findings findings={list.findings} />}</Loaded>
      <Section title={t("health.check")}>
        <div>
          <Action
            label={t("health.start")}
            stale="health"
            act={() => read(api.POST("/api/v1/check"))}
            onDone={(list) => setChecked(list.findings)}
          />
        </div>
        {checked && <Findings findings={checked} />}
      </Section>
      <Installation />
    </TechPage>
  );
}

function Findings({ findings }: { findings: readonly Schemas["Finding"][] }) {
  const { t } = useWords();
  if (findings.length === 0) return <Alert severity="success">{t("health.well")}</Alert>;
  return (
    <Stack spacing={1} data-testid="findings">
      {findings.map((one) => (
        <Alert key={`${one.code} ${one.subject}`} severity={one.severity} data-code={one.code}>
          <AlertTitle>{one.message}</AlertTitle>
          {one.hint}
        </Alert>
      ))}
    </Stack>
  );
}

function Installation() {
  const { t, time, number } = useWords();
  const agent = useQuery(info);
  const room = useQuery(disk);
  return (
    <Section title={t("health.installation")}>
      <Loaded of={agent}>
        {(one) => (
          <Facts
            facts={[
              [t("health.version"), one.version],
              [t("sync.device"), one.device_id],
              [t("health.folder"), one.data_dir],
              [t("health.since"), time(one.started_at)],
              ["Python", one.python_version],
              ["SQLite", one.sqlite_version],
            ]}
          />
        )}
      </Loaded>
      <Loaded of={room}>
        {(one) => (
          <Alert severity={one.is_enough ? "info" : "warning"}>
            {t("health.disk", {
              free: number(one.free_bytes / GB, 1),
              least: number(one.min_free_bytes / GB, 1),
            })}
          </Alert>
        )}
      </Loaded>
    </Section>
  );
}
