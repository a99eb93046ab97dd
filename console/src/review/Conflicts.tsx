/** Changes that met another: both sides, which one holds, and that a person has seen it. */
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import CardContent from "@mui/material/CardContent";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useInfiniteQuery } from "@tanstack/react-query";
import { api, read, type Schemas } from "../api/client";
import { useWords } from "../i18n";
import { Action } from "../ui/Action";
import { Details } from "../ui/Details";
import { Grid } from "../ui/Grid";
import { More } from "../ui/More";
import { Loaded } from "../ui/Page";
import { Section } from "../ui/Section";
import { fieldsOf } from "./fields";
import { conflictList } from "./queries";

export function Conflicts() {
  const { t } = useWords();
  const found = useInfiniteQuery(conflictList);
  return (
    <Section title={t("conflict")}>
      <Loaded of={found}>
        {({ pages }) => {
          const conflicts = pages.flatMap((page) => page.conflicts);
          if (conflicts.length === 0) return <Typography>{t("conflict.none")}</Typography>;
          return conflicts.map((one) => <Met key={one.id} conflict={one} />);
        }}
      </Loaded>
      <More of={found} />
    </Section>
  );
}

function Met({ conflict }: { conflict: Schemas["Conflict"] }) {
  const { t, time } = useWords();
  const params = { path: { conflict_id: conflict.id } };
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
        <Stack direction="row" spacing={1}>
          {conflict.entity_type === "inspection_sessions" && (
            <Button href={`#/sessions/${conflict.entity_id}/trace`}>{t("trace.session")}</Button>
          )}
          <Action
            isMain
            label={t("conflict.seen")}
            stale="sync"
            act={() => read(api.POST("/api/v1/sync/conflicts/{conflict_id}/resolve", { params }))}
          />
        </Stack>
      </CardContent>
    </Card>
  );
}
