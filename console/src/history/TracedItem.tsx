/** One item of a session: its pictures, every run of the AI on them, every verdict of a person. */
import Card from "@mui/material/Card";
import CardContent from "@mui/material/CardContent";
import Link from "@mui/material/Link";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { pictureUrl, type Schemas } from "../api/client";
import { reasons } from "../api/queries";
import { AiDetails, AiVerdict } from "../flow/AiFacts";
import type { ItemBody } from "../flow/progress";
import { useWords } from "../i18n";
import { Details } from "../ui/Details";
import { Facts } from "../ui/Grid";
import { asResult, Verdict } from "../ui/Verdict";
import { useNameOf } from "./people";

type Trace = Schemas["SessionTrace"];
const KB = 1000;

export function TracedItem({ item: { item, verdict }, trace }: { item: ItemBody; trace: Trace }) {
  const { t, name } = useWords();
  const images = trace.images.filter((one) => one.item_id === item.id);
  const given = trace.verifications.filter((one) => one.item_id === item.id);
  return (
    <Card variant="outlined" component="section" aria-label={name(item.item_name)} data-item={item.item_code}>
      <CardContent>
        <Stack direction="row" spacing={1} useFlexGap sx={{ alignItems: "center", flexWrap: "wrap" }}>
          <Typography variant="h6" component="h2" sx={{ flexGrow: 1 }}>
            {name(item.item_name)} ({item.item_code})
          </Typography>
          {verdict?.ai_result && <Verdict size="small" label="AI" result={asResult(verdict.ai_result)} />}
          <Verdict size="small" label={t("human")} result={asResult(verdict?.human_result)} />
        </Stack>
        {images.map((image) => (
          <TracedImage
            key={image.id}
            image={image}
            runs={trace.ai_results.filter((run) => run.image_id === image.id)}
            criteria={item.criteria}
          />
        ))}
        {given.map((one) => (
          <Given key={one.id} verdict={one} />
        ))}
        {images.length + given.length === 0 && <Typography>{t("trace.nothing")}</Typography>}
      </CardContent>
    </Card>
  );
}

function TracedImage(props: {
  image: Schemas["Image"];
  runs: readonly Schemas["AiInspection"][];
  criteria: Record<string, unknown>;
}) {
  const { t, time, number } = useWords();
  const { image } = props;
  return (
    <Stack direction={{ xs: "column", md: "row" }} spacing={2} sx={{ py: 1 }}>
      <Link href={pictureUrl(image.id, "original")} target="_blank" rel="noreferrer">
        <img
          src={pictureUrl(image.id, "thumbnail")}
          alt={t("picture")}
          loading="lazy"
          style={{ width: 200, minHeight: 48, display: "block" }}
        />
      </Link>
      <div style={{ flexGrow: 1 }}>
        <Facts
          facts={[
            [t("trace.captured"), time(image.captured_at)],
            [t("trace.file"), `${image.width_px} × ${image.height_px}, ${number(image.file_size / KB)} kB`],
            [t("trace.source"), `${t(`origin.${image.source}`)} ${image.origin}`],
            ["SHA-256", image.sha256],
            ...(image.failure ? [[t("trace.failure"), image.failure] as const] : []),
          ]}
        />
        {props.runs.map((run) => (
          <Run key={run.id} run={run} criteria={props.criteria} />
        ))}
      </div>
    </Stack>
  );
}

function Run(props: { run: Schemas["AiInspection"]; criteria: Record<string, unknown> }) {
  const { t, time } = useWords();
  const { run } = props;
  return (
    <Stack spacing={1} sx={{ py: 1 }} data-testid="run">
      <AiVerdict {...props} />
      <Details title={t("trace.versions")}>
        <Facts
          facts={[
            [t("trace.judged"), time(run.created_at)],
            [t("trace.pipeline"), `${run.pipeline_version ?? "—"} (${run.pipeline_sha256 ?? "—"})`],
            [t("trace.models"), run.model_sha256s.join(", ") || "—"],
            [t("trace.provider"), run.provider ?? "—"],
            [t("criteria"), run.criteria_sha256],
          ]}
        />
      </Details>
      <AiDetails {...props} />
    </Stack>
  );
}

function Given({ verdict }: { verdict: Schemas["Verification"] }) {
  const { t, time, number, language } = useWords();
  const nameOf = useNameOf();
  const offered = useQuery(reasons);
  const reason = offered.data?.reasons?.find((one) => one.code === verdict.reason_code);
  return (
    <Stack spacing={1} sx={{ py: 1 }} data-testid="given">
      <div>
        <Verdict label={t("human")} result={asResult(verdict.final_result)} />
      </div>
      <Facts
        facts={[
          [t("history.inspector"), nameOf(verdict.user_id)],
          [t("trace.judged"), time(verdict.created_at)],
          [t("trace.took"), `${number(verdict.verification_time, 1)} s`],
          [t("trace.saw"), t(verdict.saw_ai ? "yes" : "no")],
          [t("reason"), reason?.[language] ?? verdict.reason_code ?? "—"],
          [t("notes"), verdict.notes ?? "—"],
          ...(verdict.region ? [[t("trace.region"), verdict.region.join(", ")] as const] : []),
          ...(verdict.supersedes ? [[t("trace.supersedes"), verdict.supersedes] as const] : []),
        ]}
      />
    </Stack>
  );
}
