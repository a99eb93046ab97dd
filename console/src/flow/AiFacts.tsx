import Alert from "@mui/material/Alert";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import type { Schemas } from "../api/client";
import { isKey, useWords } from "../i18n";
import { Details } from "../ui/Details";
import { Facts } from "../ui/Grid";
import { asResult, Verdict } from "../ui/Verdict";
import { type Detail, detailOf, factText, type Reason, toleranceOf } from "./result";
import { ToleranceBar } from "./ToleranceBar";

const PERCENT = 100;
const MS = 1000;

interface Props {
  run: Omit<Schemas["DryRun"], "pictures">;
  criteria: Record<string, unknown>;
}

/** The AI's verdict with its reasons, and a measured value against its limits. */
export function AiVerdict({ run, criteria }: Props) {
  const { t, number } = useWords();
  const detail = detailOf(run);
  const tolerance = toleranceOf(criteria);
  const [measured] = detail.measurements;
  return (
    <Stack spacing={1} component="section" aria-label={t("ai")}>
      <Stack direction="row" spacing={1} useFlexGap sx={{ alignItems: "center", flexWrap: "wrap" }}>
        <span data-testid="ai-verdict">
          <Verdict label="AI" result={asResult(run.overall_result)} />
        </span>
        <Typography>
          {t("ai.facts", {
            confidence: number(run.confidence * PERCENT),
            ms: number(run.processing_time * MS, 1),
          })}
        </Typography>
      </Stack>
      {detail.reasons.map((reason) => (
        <Why key={reason.code} reason={reason} />
      ))}
      {tolerance && measured && <ToleranceBar tolerance={tolerance} value={measured.value} />}
    </Stack>
  );
}

/** What was asked, what was found, and where the time went. */
export function AiDetails({ run, criteria }: Props) {
  const { t, number } = useWords();
  const detail = detailOf(run);
  return (
    <div>
      <Details title={t("criteria")}>
        <Criteria criteria={criteria} />
      </Details>
      <Details title={t("found")} isOpen>
        <Found detail={detail} />
      </Details>
      <Details title={t("steps")}>
        <Facts
          facts={detail.steps.map((step) => [
            `${step.id} (${step.type})`,
            step.ok ? `${number(step.ms, 1)} ms` : `${t("trace.failure")} · ${number(step.ms, 1)} ms`,
          ])}
        />
      </Details>
    </div>
  );
}

function Why({ reason: { code, ...facts } }: { reason: Reason }) {
  const { t, number } = useWords();
  const key = `reason.${code}`;
  const known = Object.entries(facts).map(([name, value]) => `${name} ${factText(value, number)}`);
  return (
    <Alert severity="info" sx={{ py: 0 }}>
      {isKey(key) ? t(key) : code}
      {known.length > 0 && (
        <Typography variant="body2" component="span" color="textSecondary">
          {" "}
          ({known.join(", ")})
        </Typography>
      )}
    </Alert>
  );
}

export function Criteria({ criteria }: { criteria: Record<string, unknown> }) {
  const { t, number } = useWords();
  const shown = Object.entries(criteria).filter(
    ([name]) => name !== "type" && name !== "rule" && name !== "checks",
  );
  return (
    <Facts
      facts={shown.map(([name, value]) => {
        const key = `criterion.${name}`;
        return [isKey(key) ? t(key) : name, factText(value, number)];
      })}
    />
  );
}

function Found({ detail }: { detail: Detail }) {
  const { t, number } = useWords();
  const percent = (share: number) => `${number(share * PERCENT, 1)} %`;
  const rows: [string, string][] = [
    ...detail.measurements.map((one): [string, string] => [
      t("found.measured"),
      `${number(one.value, 3)} ${one.unit}`,
    ]),
    ...detail.texts.map((one): [string, string] => [
      t("found.text"),
      `${one.text} (${percent(one.confidence)})`,
    ]),
    ...detail.codes.map((one): [string, string] => [one.format, one.text]),
    ...detail.classes.map((one): [string, string] => [one.label, percent(one.confidence)]),
    ...detail.objects.map((one): [string, string] => [one.label, percent(one.confidence)]),
    ...detail.scores.map((one): [string, string] => [t("found.score"), number(one.value, 3)]),
  ];
  return rows.length > 0 ? <Facts facts={rows} /> : <Typography>{t("found.nothing")}</Typography>;
}
