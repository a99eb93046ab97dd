import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useNavigate } from "react-router";
import { useWords } from "../i18n";
import { Page } from "../ui/Page";
import { Kbd, useShortcuts } from "../ui/shortcuts";
import { asResult, Verdict, VerdictMark } from "../ui/Verdict";
import { type SessionBody, titleOf } from "./progress";
import { useScanner } from "./scanner";

const COLORS = { OK: "success.main", NG: "error.main", HOLD: "warning.main" } as const;

/** The product's result, large; the next scan starts the next product. */
export function Finished({ body }: { body: SessionBody }) {
  const { t } = useWords();
  const navigate = useNavigate();
  const next = () => navigate("/scan");
  useScanner((text) => navigate("/scan", { state: { text } }));
  useShortcuts({ n: next });
  const { status, final_result, reason } = body.session;
  const isComplete = status === "COMPLETED";
  return (
    <Page title={titleOf(body.target)}>
      {isComplete ? (
        <Outcome result={final_result} />
      ) : (
        <Alert severity="warning" data-testid="closed">
          {t(`status.${status}`)}
          {reason && `: ${reason}`}. {t("session.closed")}
        </Alert>
      )}
      <Button
        variant="contained"
        size="large"
        autoFocus
        onClick={next}
        sx={{ minHeight: 80, fontSize: "1.3rem" }}
      >
        {t("session.another")} <Kbd>N</Kbd>
      </Button>
      <Decided body={body} />
    </Page>
  );
}

function Outcome({ result }: { result: string | null }) {
  const { t } = useWords();
  const shown = asResult(result);
  const color = shown in COLORS ? COLORS[shown as keyof typeof COLORS] : "text.primary";
  return (
    <Card
      sx={{ bgcolor: color, color: "#fff", p: 3, textAlign: "center" }}
      data-testid="outcome"
      data-result={shown}
    >
      <Typography variant="h2" component="p">
        <VerdictMark result={shown} /> {t(`verdict.${shown}`)}
      </Typography>
      <Typography>{t("session.completed")}</Typography>
    </Card>
  );
}

function Decided({ body }: { body: SessionBody }) {
  const { t, name } = useWords();
  return (
    <Stack spacing={1}>
      {body.items.map(({ item, verdict }) => (
        <Stack
          key={item.id}
          direction="row"
          spacing={1}
          useFlexGap
          sx={{ alignItems: "center", flexWrap: "wrap" }}
        >
          <Typography sx={{ flexGrow: 1 }}>{name(item.item_name)}</Typography>
          {verdict?.ai_result && <Verdict size="small" label="AI" result={asResult(verdict.ai_result)} />}
          <Verdict size="small" label={t("human")} result={asResult(verdict?.human_result)} />
        </Stack>
      ))}
    </Stack>
  );
}
