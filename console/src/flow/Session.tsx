import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import CardActionArea from "@mui/material/CardActionArea";
import LinearProgress from "@mui/material/LinearProgress";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "react-router";
import { keep } from "../api/again";
import { api, read } from "../api/client";
import { session } from "../api/queries";
import { useWords } from "../i18n";
import { Loaded, Page } from "../ui/Page";
import { ProblemAlert } from "../ui/ProblemAlert";
import { Kbd, useShortcuts } from "../ui/shortcuts";
import { useSignal } from "../ui/signal";
import { asResult, Verdict } from "../ui/Verdict";
import { CancelButton } from "./CancelButton";
import { Finished } from "./Finished";
import { decidedOf, type ItemBody, isOpen, nextAfter, type SessionBody, titleOf } from "./progress";

/** One product: its items, what is left to do, and the end. */
export function Session() {
  const { sessionId = "" } = useParams();
  const found = useQuery(session(sessionId));
  return found.data && !isOpen(found.data) ? (
    <Finished body={found.data} />
  ) : (
    <Page title={found.data ? titleOf(found.data.target) : ""}>
      <Loaded of={found}>{(body) => <Items body={body} />}</Loaded>
    </Page>
  );
}

function Items({ body }: { body: SessionBody }) {
  const { t } = useWords();
  const navigate = useNavigate();
  const complete = useComplete(body.session.id);
  const next = nextAfter(body, null);
  const open = (item: ItemBody) => navigate(`/sessions/${body.session.id}/items/${item.item.id}`);
  const canComplete = body.can_complete && !complete.isPending;
  useShortcuts({ n: next !== null && (() => open(next)), c: canComplete && (() => complete.mutate()) });
  return (
    <>
      <ProblemAlert error={complete.error} />
      <Progress body={body} />
      <Stack component="ol" spacing={1} sx={{ listStyle: "none", p: 0, m: 0 }}>
        {body.items.map((item) => (
          <Card key={item.item.id} component="li" variant="outlined">
            <CardActionArea onClick={() => open(item)} sx={{ minHeight: 72, px: 2, py: 1 }}>
              <Row item={item} />
            </CardActionArea>
          </Card>
        ))}
      </Stack>
      <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap" }}>
        {next !== null && (
          <Button variant="contained" size="large" autoFocus onClick={() => open(next)} sx={{ flexGrow: 1 }}>
            {t("session.next")} <Kbd>N</Kbd>
          </Button>
        )}
        <Button
          key={String(next === null)}
          variant={next === null ? "contained" : "outlined"}
          size="large"
          autoFocus={next === null}
          disabled={!body.can_complete}
          loading={complete.isPending}
          onClick={() => complete.mutate()}
          sx={{ flexGrow: 1 }}
        >
          {t("session.complete")} <Kbd>C</Kbd>
        </Button>
        <CancelButton sessionId={body.session.id} />
      </Stack>
      {!body.can_complete && body.missing.length > 0 && (
        <Alert severity="info">{t("session.missing", { items: body.missing.join(", ") })}</Alert>
      )}
    </>
  );
}

function useComplete(sessionId: string) {
  const client = useQueryClient();
  const signal = useSignal();
  return useMutation({
    mutationFn: () =>
      read(
        api.POST("/api/v1/sessions/{session_id}/complete", { params: { path: { session_id: sessionId } } }),
      ),
    onSuccess: (body) => {
      const result = asResult(body.session.final_result);
      signal(result === "OK" || result === "NG" ? result : "HOLD");
      keep(client, session(sessionId).queryKey, body);
    },
    onError: () => void client.invalidateQueries({ queryKey: ["session"] }),
  });
}

function Progress({ body }: { body: SessionBody }) {
  const { t } = useWords();
  const [done, all] = [decidedOf(body), body.items.length];
  const label = t("session.progress", { done, all });
  return (
    <div>
      <Typography data-testid="progress">{label}</Typography>
      <LinearProgress
        variant="determinate"
        value={(100 * done) / Math.max(1, all)}
        aria-label={label}
        sx={{ height: 12, borderRadius: 1 }}
      />
    </div>
  );
}

function Row({ item }: { item: ItemBody }) {
  const { t, name } = useWords();
  const { verdict } = item;
  return (
    <Stack direction="row" spacing={1} useFlexGap sx={{ alignItems: "center", flexWrap: "wrap" }}>
      <Typography sx={{ minWidth: "2ch", fontWeight: 600 }}>{item.item.order_sequence}</Typography>
      <div style={{ flexGrow: 1 }}>
        <Typography sx={{ fontWeight: 600 }}>{name(item.item.item_name)}</Typography>
        <Typography variant="body2" color="textSecondary">
          {t(`type.${item.item.inspection_type}`)}
          {!item.item.required && ` · ${t("item.optional")}`}
        </Typography>
      </div>
      {item.is_withheld && item.images.length > 0 && <Typography>{t("blind.short")}</Typography>}
      {verdict?.ai_result && <Verdict size="small" label="AI" result={asResult(verdict.ai_result)} />}
      <Verdict label={t("human")} result={asResult(verdict?.human_result)} />
    </Stack>
  );
}
