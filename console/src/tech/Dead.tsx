/** Changes the server refused for good: why, and trying them again once the cause is gone. */
import Card from "@mui/material/Card";
import CardContent from "@mui/material/CardContent";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { api, read, type Schemas } from "../api/client";
import { Details } from "../flow/AiFacts";
import { useWords } from "../i18n";
import { rowOf } from "../review/fields";
import { Action } from "../ui/Action";
import { Download } from "../ui/Download";
import { Facts, Grid } from "../ui/Grid";
import { Loaded } from "../ui/Page";
import { Section } from "../ui/Section";
import { deadList } from "./queries";
import { useIsTechnician } from "./TechPage";

export function Dead() {
  const { t } = useWords();
  const found = useQuery(deadList);
  const isTechnician = useIsTechnician();
  return (
    <Section title={t("dead")}>
      <Loaded of={found}>
        {({ entries, images }) =>
          entries.length + images.length === 0 ? (
            <Typography>{t("dead.none")}</Typography>
          ) : (
            <>
              {entries.map((one) => (
                <Refused key={one.id} entry={one} mayRetry={isTechnician} />
              ))}
              {images.length > 0 && <Photographs images={images} />}
              {isTechnician && (
                <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap" }}>
                  <Action
                    isMain
                    label={t("dead.all")}
                    stale="sync"
                    act={() => read(api.POST("/api/v1/sync/dead/retry", { body: {} }))}
                  />
                  <Download label={t("dead.export")} path="/sync/dead/export" />
                </Stack>
              )}
            </>
          )
        }
      </Loaded>
    </Section>
  );
}

/** Pictures that cannot be sent: which, and why. */
function Photographs({ images }: { images: readonly Schemas["DeadBlob"][] }) {
  const { t, time } = useWords();
  return (
    <Grid
      label={t("sync.images")}
      heads={[t("trace.file"), t("sync.error"), t("audit.at"), "SHA-256"]}
      rows={images.map((one) => ({
        key: one.sha256,
        cells: [one.error_detail, one.error_code, time(one.dead_at), one.sha256],
      }))}
    />
  );
}

function Refused({ entry, mayRetry }: { entry: Schemas["DeadEntry"]; mayRetry: boolean }) {
  const { t, time } = useWords();
  const retry = () =>
    read(api.POST("/api/v1/sync/dead/{entry_id}/retry", { params: { path: { entry_id: entry.id } } }));
  return (
    <Card variant="outlined" data-testid="dead">
      <CardContent>
        <Typography sx={{ fontWeight: 600 }}>
          {entry.entity_type} · {entry.operation} · {entry.error_code}
        </Typography>
        <Typography lang="en">{entry.error_detail}</Typography>
        <Typography>
          {time(entry.created_at)} → {time(entry.dead_at)}
        </Typography>
        <Details title={t("dead.data")}>
          <Facts facts={Object.entries(rowOf(entry.data)).map(([name, value]) => [name, String(value)])} />
        </Details>
        {mayRetry && <Action label={t("retry")} stale="sync" act={retry} />}
      </CardContent>
    </Card>
  );
}
