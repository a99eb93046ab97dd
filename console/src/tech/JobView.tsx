import Alert from "@mui/material/Alert";
import LinearProgress from "@mui/material/LinearProgress";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { api, read, type Schemas } from "../api/client";
import { factText } from "../flow/result";
import { useWords } from "../i18n";
import { Action } from "../ui/Action";
import { Facts } from "../ui/Grid";
import { Loaded } from "../ui/Page";
import { job } from "./queries";

const PERCENT = 100;
const LOOKS = { running: "info", done: "success", failed: "error", cancelled: "warning" } as const;

/** How far a job is, what it gave, or why it failed and what to do. */
export function JobView({ id }: { id: string }) {
  const found = useQuery(job(id));
  return <Loaded of={found}>{(one) => <Told job={one} />}</Loaded>;
}

function Told({ job }: { job: Schemas["Job"] }) {
  const { t, number } = useWords();
  const { done = 0, of } = job.progress;
  const stop = () =>
    read(api.POST("/api/v1/sync/jobs/{job_id}/cancel", { params: { path: { job_id: job.id } } }));
  return (
    <Stack spacing={1} role="status" data-testid="job" data-phase={job.phase}>
      <Alert severity={LOOKS[job.phase]}>
        <Typography sx={{ fontWeight: 600 }}>
          {t(`job.${job.kind}`)}: {t(`phase.${job.phase}`)}
        </Typography>
        {job.error && <Typography>{job.error.hint}</Typography>}
        {job.error && (
          <Typography variant="body2" lang="en">
            {job.error.detail} ({job.error.code})
          </Typography>
        )}
      </Alert>
      {job.phase === "running" && (
        <>
          <LinearProgress
            aria-label={t(`job.${job.kind}`)}
            variant={of ? "determinate" : "indeterminate"}
            value={of ? (PERCENT * done) / of : undefined}
          />
          <Action label={t("sync.stop")} stale="job" act={stop} />
        </>
      )}
      {job.result && (
        <Facts facts={Object.entries(job.result).map(([name, value]) => [name, factText(value, number)])} />
      )}
    </Stack>
  );
}
