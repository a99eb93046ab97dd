/** Every session, newest first, however many there are: only what is looked at is asked for and drawn. */
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import MenuItem from "@mui/material/MenuItem";
import TextField from "@mui/material/TextField";
import Typography from "@mui/material/Typography";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { useWords } from "../i18n";
import { Page } from "../ui/Page";
import { ProblemAlert } from "../ui/ProblemAlert";
import { asResult, Verdict } from "../ui/Verdict";
import { STATUSES, sessionList } from "./queries";

const ROW_PX = 56;
const AHEAD = 20; // rows below the last one shown at which the next page is asked for

export function History() {
  const { t } = useWords();
  const [status, setStatus] = useState<Schemas["SessionStatus"] | "">("");
  const found = useInfiniteQuery(sessionList({ status: status || undefined }));
  const sessions = found.data?.pages.flatMap((page) => page.sessions) ?? [];
  return (
    <Page
      wide
      title={t("history")}
      actions={
        <TextField
          select
          label={t("history.status")}
          value={status}
          onChange={(event) => setStatus(event.target.value as Schemas["SessionStatus"] | "")}
          sx={{ minWidth: 180 }}
        >
          <MenuItem value="">{t("history.all")}</MenuItem>
          {STATUSES.map((one) => (
            <MenuItem key={one} value={one}>
              {t(`status.${one}`)}
            </MenuItem>
          ))}
        </TextField>
      }
    >
      <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />
      {found.data && sessions.length === 0 && <Typography>{t("history.none")}</Typography>}
      <Rows
        sessions={sessions}
        onEnd={() => {
          if (found.hasNextPage && !found.isFetching) void found.fetchNextPage();
        }}
      />
    </Page>
  );
}

function Rows(props: { sessions: Schemas["SessionSummary"][]; onEnd: () => void }) {
  const { sessions, onEnd } = props;
  const { t } = useWords();
  const frame = useRef<HTMLDivElement>(null);
  // eslint-disable-next-line react-hooks/incompatible-library -- it returns new functions each time, as meant
  const rows = useVirtualizer({
    count: sessions.length,
    getScrollElement: () => frame.current,
    estimateSize: () => ROW_PX,
    overscan: 10,
  });
  const shown = rows.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  const isNearEnd = sessions.length > 0 && last >= sessions.length - AHEAD;
  useEffect(() => {
    if (isNearEnd) onEnd();
  }, [isNearEnd, onEnd]);
  return (
    <Box
      ref={frame}
      role="list"
      aria-label={t("history")}
      tabIndex={0}
      sx={{ height: "70vh", overflowY: "auto" }}
      data-testid="history"
    >
      <div style={{ height: rows.getTotalSize(), position: "relative" }}>
        {shown.map(({ key, index, start }) => {
          const session = sessions[index];
          return session && <Row key={key} session={session} top={start} />;
        })}
      </div>
    </Box>
  );
}

function Row({ session, top }: { session: Schemas["SessionSummary"]; top: number }) {
  const { t, time } = useWords();
  return (
    <Box
      role="listitem"
      sx={{
        position: "absolute",
        left: 0,
        right: 0,
        height: ROW_PX,
        borderBottom: 1,
        borderColor: "divider",
      }}
      style={{ transform: `translateY(${top}px)` }}
    >
      <Button
        href={`#/sessions/${session.id}`}
        variant="text"
        color="inherit"
        fullWidth
        sx={{ height: 1, gap: 2, justifyContent: "flex-start" }}
      >
        <span style={{ minWidth: "9rem" }}>{time(session.started_at)}</span>
        <span style={{ flexGrow: 1, textAlign: "left" }}>
          {session.product_code} · {session.batch_id} · {session.serial_no || session.qr_code}
        </span>
        <span>{t(`status.${session.status}`)}</span>
        {session.final_result && <Verdict size="small" result={asResult(session.final_result)} />}
      </Button>
    </Box>
  );
}
