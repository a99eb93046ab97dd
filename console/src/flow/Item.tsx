import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import Typography from "@mui/material/Typography";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useParams } from "react-router";
import type { Schemas } from "../api/client";
import { image, me, session } from "../api/queries";
import { useWords } from "../i18n";
import { Loaded, Page } from "../ui/Page";
import { Kbd, useShortcuts } from "../ui/shortcuts";
import { Capture } from "./Capture";
import { Checklist } from "./Checklist";
import { Judging } from "./Judging";
import { type ItemBody, isChecklist, isOpen, nextAfter, type SessionBody, titleOf } from "./progress";

/** One item of one product: photograph it, see what the AI says, decide; then the next. */
export function Item() {
  const { sessionId = "", itemId = "" } = useParams();
  const found = useQuery(session(sessionId));
  return (
    <Loaded of={found}>
      {(body) => {
        const item = body.items.find((one) => one.item.id === itemId);
        return item ? <OneItem key={itemId} body={body} item={item} /> : <Missing sessionId={sessionId} />;
      }}
    </Loaded>
  );
}

function Missing({ sessionId }: { sessionId: string }) {
  const { t } = useWords();
  return (
    <Page title={t("lost")}>
      <Button variant="contained" href={`#/sessions/${sessionId}`}>
        {t("item.list")}
      </Button>
    </Page>
  );
}

function OneItem({ body, item }: { body: SessionBody; item: ItemBody }) {
  const { t, name } = useWords();
  const navigate = useNavigate();
  const [taken, setTaken] = useState<string | null>(null);
  const [isTaking, setIsTaking] = useState(false);
  const client = useQueryClient();
  const list = () => navigate(`/sessions/${body.session.id}`);
  const canTake = isOpen(body);
  const shown = taken ?? item.verdict?.image_id ?? item.images.at(-1)?.id ?? null;
  const wantsPicture = isTaking || (shown === null && !isChecklist(item));
  const retake = canTake && !wantsPicture && (() => setIsTaking(true));
  useShortcuts({ Escape: list, r: retake });

  const onTaken = (reply: Schemas["ImageReply"]) => {
    keepReply(client, reply);
    setTaken(reply.image.id);
    setIsTaking(false);
  };
  const onDecided = (after: SessionBody) => {
    const next = nextAfter(after, item.item.id);
    navigate(next ? `/sessions/${body.session.id}/items/${next.item.id}` : `/sessions/${body.session.id}`);
  };
  const judged = { body, item, canDecide: useCanDecide(body), onDecided };
  return (
    <Page
      wide
      title={`${item.item.order_sequence}. ${name(item.item.item_name)}`}
      actions={
        <>
          <Typography color="textSecondary">{titleOf(body.target)}</Typography>
          {retake && (
            <Button onClick={retake}>
              {t(shown === null ? "capture.take" : "capture.again")} <Kbd>R</Kbd>
            </Button>
          )}
          <Button onClick={list}>
            {t("item.list")} <Kbd>Esc</Kbd>
          </Button>
        </>
      }
    >
      {!canTake && <Closed body={body} />}
      {wantsPicture && canTake && (
        <Capture
          sessionId={body.session.id}
          itemId={item.item.id}
          onTaken={onTaken}
          onBack={shown === null ? undefined : () => setIsTaking(false)}
        />
      )}
      {!wantsPicture && shown !== null && <Judging key={shown} imageId={shown} {...judged} />}
      {!wantsPicture && shown === null && isChecklist(item) && <Checklist {...judged} />}
    </Page>
  );
}

/** What the answer to the picture already says is not asked for again. */
function keepReply(client: ReturnType<typeof useQueryClient>, reply: Schemas["ImageReply"]): void {
  if (reply.verdict_state === "pending") return;
  client.setQueryData(image(reply.image.id).queryKey, {
    image: reply.image,
    ai_results: reply.verdict ? [reply.verdict] : [],
    is_withheld: reply.verdict_state === "withheld",
  });
}

/** Open sessions everybody judges; a completed one only seniors correct. */
function useCanDecide(body: SessionBody): boolean {
  const { data } = useQuery(me);
  return isOpen(body) || (body.session.status === "COMPLETED" && data?.role !== "inspector");
}

function Closed({ body }: { body: SessionBody }) {
  const { t } = useWords();
  return (
    <Alert severity="warning" data-testid="closed">
      {t(`status.${body.session.status}`)}. {t("session.closed")}{" "}
      <Button href="#/scan" size="small">
        {t("session.another")}
      </Button>
    </Alert>
  );
}
