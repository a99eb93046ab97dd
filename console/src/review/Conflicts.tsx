/** Changes that met another: both sides, which one holds, and that a person has seen it. */
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import CardContent from "@mui/material/CardContent";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, read, type Schemas } from "../api/client";
import { Details } from "../flow/AiFacts";
import { useWords } from "../i18n";
import { Grid } from "../ui/Grid";
import { ProblemAlert } from "../ui/ProblemAlert";
import { fieldsOf } from "./fields";
import { conflictList } from "./queries";

export function Conflicts() {
  const { t } = useWords();
  const found = useInfiniteQuery(conflictList);
  const conflicts = found.data?.pages.flatMap((page) => page.conflicts) ?? [];
  return (
    <section aria-label={t("conflict")}>
      <Typography variant="h6" component="h2">
        {t("conflict")}
      </Typography>
      <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />
      {found.data && conflicts.length === 0 && <Typography>{t("conflict.none")}</Typography>}
      <Stack spacing={1}>
        {conflicts.map((one) => (
          <Met key={one.id} conflict={one} />
        ))}
        {found.hasNextPage && (
          <Button loading={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
            {t("more")}
          </Button>
        )}
      </Stack>
    </section>
  );
}

function Met({ conflict }: { conflict: Schemas["Conflict"] }) {
  const { t, time } = useWords();
  const client = useQueryClient();
  const resolve = useMutation({
    mutationFn: () =>
      read(
        api.POST("/api/v1/sync/conflicts/{conflict_id}/resolve", {
          params: { path: { conflict_id: conflict.id } },
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: ["sync"] }),
  });
  return (
    <Card variant="outlined" data-testid="conflict">
      <CardContent>
        <Typography sx={{ fontWeight: 600 }}>
          {conflict.entity_type} · {conflict.reason}
        </Typography>
        <Typography>
          {time(conflict.created_at)} ·{" "}
          {t(conflict.kept === "local" ? "conflict.kept.local" : "conflict.kept.server")}
        </Typography>
        <Details title={t("conflict.sides")}>
          <Grid
            label={t("conflict.sides")}
            heads={[t("conflict.field"), t("conflict.here"), t("conflict.server")]}
            rows={fieldsOf(conflict.local_data, conflict.server_data).map(([field, here, there]) => ({
              key: field,
              cells: [field, here, there],
            }))}
          />
        </Details>
        <ProblemAlert error={resolve.error} />
        <Stack direction="row" spacing={1}>
          {conflict.entity_type === "inspection_sessions" && (
            <Button href={`#/sessions/${conflict.entity_id}/trace`}>{t("trace.session")}</Button>
          )}
          <Button variant="contained" loading={resolve.isPending} onClick={() => resolve.mutate()}>
            {t("conflict.seen")}
          </Button>
        </Stack>
      </CardContent>
    </Card>
  );
}
