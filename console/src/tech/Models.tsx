/** Installed models and pipelines: which version is in force, and the way to another. */
import Alert from "@mui/material/Alert";
import Card from "@mui/material/Card";
import CardContent from "@mui/material/CardContent";
import Chip from "@mui/material/Chip";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, read, type Schemas } from "../api/client";
import { factText } from "../flow/result";
import { useWords } from "../i18n";
import { Action } from "../ui/Action";
import { Details } from "../ui/Details";
import { Facts } from "../ui/Grid";
import { Loaded } from "../ui/Page";
import { Section } from "../ui/Section";
import { DryRun } from "./DryRun";
import { InstallModel } from "./InstallModel";
import { models, pipelines } from "./queries";
import { TechPage, useIsTechnician } from "./TechPage";

export function Models() {
  const { t } = useWords();
  const found = useQuery(models);
  const known = useQuery(pipelines);
  const isTechnician = useIsTechnician();
  return (
    <TechPage title={t("tech.models")}>
      <Loaded of={found}>
        {(list) => list.models.map((one) => <Version key={`${one.name} ${one.version}`} model={one} />)}
      </Loaded>
      {isTechnician && <InstallModel />}
      <Section title={t("pipelines")}>
        <Loaded of={known}>
          {(list) => list.pipelines.map((one) => <PipelineState key={one.pipeline.code} of={one} />)}
        </Loaded>
      </Section>
      {isTechnician && known.data && <DryRun pipelines={known.data.pipelines} />}
    </TechPage>
  );
}

function Version({ model }: { model: Schemas["ModelPackage"] }) {
  const { t, time, number } = useWords();
  const isTechnician = useIsTechnician();
  return (
    <Card variant="outlined" data-testid="model">
      <CardContent>
        <Stack direction="row" spacing={1} useFlexGap sx={{ alignItems: "center", flexWrap: "wrap" }}>
          <Typography variant="h6" component="h2">
            {model.name} {model.version}
          </Typography>
          {model.is_active && <Chip color="success" label={t("models.active")} />}
        </Stack>
        <Facts
          facts={[
            [t("models.task"), model.task],
            [t("models.installed"), time(model.installed_at)],
            [t("models.activated"), model.activated_at ? time(model.activated_at) : "—"],
            ["SHA-256", model.model_sha256],
          ]}
        />
        <Details title={t("models.golden")}>
          <Facts
            facts={model.golden_results.map((one, index) => [String(index + 1), factText(one, number)])}
          />
        </Details>
        {isTechnician && <Changes model={model} />}
      </CardContent>
    </Card>
  );
}

function Changes({ model }: { model: Schemas["ModelPackage"] }) {
  const { t } = useWords();
  const [tried, setTried] = useState<Schemas["ModelTest"] | null>(null);
  const params = { path: { name: model.name } };
  const body = { version: model.version };
  return (
    <Stack spacing={1}>
      <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap" }}>
        <Action
          label={t("models.test")}
          stale="masters"
          act={() => read(api.POST("/api/v1/models/{name}/test", { params, body }))}
          onDone={setTried}
        />
        {model.is_active ? (
          <Action
            label={t("models.rollback")}
            stale="masters"
            question={t("models.rollback.sure")}
            act={() => read(api.POST("/api/v1/models/{name}/rollback", { params }))}
          />
        ) : (
          <Action
            isMain
            label={t("models.activate")}
            stale="masters"
            act={() => read(api.POST("/api/v1/models/{name}/activate", { params, body }))}
          />
        )}
      </Stack>
      {tried && (
        <Alert severity={tried.agrees ? "success" : "error"} data-testid="tried">
          {t(tried.agrees ? "models.agrees" : "models.differs")}{" "}
          {tried.problems?.map((one) => one.message).join(" ")}
        </Alert>
      )}
    </Stack>
  );
}

function PipelineState({ of: { pipeline, is_in_force, problems } }: { of: Schemas["PipelineBody"] }) {
  const { t, name } = useWords();
  return (
    <Alert severity={is_in_force ? "success" : "error"}>
      {name(pipeline.name)} ({pipeline.code} {pipeline.definition_version}):{" "}
      {t(is_in_force ? "pipelines.force" : "pipelines.out")} {problems.map((one) => one.message).join(" ")}
    </Alert>
  );
}
