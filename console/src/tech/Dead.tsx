/** Changes the server refused for good: why, and trying them again once the cause is gone. */
import Card from "@mui/material/Card";
import CardContent from "@mui/material/CardContent";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { api, read, type Schemas } from "../api/client";
import { useWords } from "../i18n";
import { rowOf } from "../review/fields";
import { Action } from "../ui/Action";
import { Details } from "../ui/Details";
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
        {({ entries, images, reasons }) =>
          entries.length + images.length === 0 ? (
            <Typography>{t("dead.none")}</Typography>
          ) : (
            <>
              {entries.map((one) => (
                <Refused
                  key={one.id}
                  entry={one}
                  reason={reasons[one.error_code ?? ""]}
                  mayRetry={isTechnician}
                />
              ))}
              {images.length > 0 && <Photographs images={images} reasons={reasons} />}
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

type Reasons = Schemas["DeadPage"]["reasons"];

/** Pictures that cannot be sent: which, and why. */
function Photographs(props: { images: readonly Schemas["DeadBlob"][]; reasons: Reasons }) {
  const { t, time } = useWords();
  const why = (code: string) => {
    const known = props.reasons[code];
    return known ? `${known.title} ${known.hint}` : code;
  };
  return (
    <Grid
      label={t("sync.images")}
      heads={[t("trace.file"), t("sync.error"), t("audit.at"), "SHA-256"]}
      rows={props.images.map((one) => ({
        key: one.sha256,
        cells: [one.error_detail, why(one.error_code), time(one.dead_at), one.sha256],
      }))}
    />
  );
}

function Refused(props: { entry: Schemas["DeadEntry"]; reason?: Reasons[string]; mayRetry: boolean }) {
  const { t, time } = useWords();
  const { entry, reason } = props;
  const params = { path: { entry_id: entry.id } };
  return (
    <Card variant="outlined" data-testid="dead">
      <CardContent>
        {reason && <Typography sx={{ fontWeight: 600 }}>{reason.title}</Typography>}
        {reason && <Typography>{reason.hint}</Typography>}
        <Typography lang="en" color="textSecondary">
          {entry.error_detail} ({entry.error_code})
        </Typography>
        <Details title={t("dead.data")}>
          <Facts
            facts={[
              [t("audit.subject"), `${entry.entity_type} · ${entry.operation}`],
              [t("dead.made"), time(entry.created_at)],
              [t("dead.refused"), time(entry.dead_at)],
              ...Object.entries(rowOf(entry.data)).map(([name, value]) => [name, String(value)] as const),
            ]}
          />
        </Details>
        {props.mayRetry && (
          <Action
            label={t("retry")}
            stale="sync"
            act={() => read(api.POST("/api/v1/sync/dead/{entry_id}/retry", { params }))}
          />
        )}
      </CardContent>
    </Card>
  );
}
