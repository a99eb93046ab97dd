/** Every session, newest first, however many there are: only what is looked at is asked for and drawn. */
import Button from "@mui/material/Button";
import Typography from "@mui/material/Typography";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import type { Schemas } from "../api/client";
import { me } from "../api/queries";
import { useWords } from "../i18n";
import { Download } from "../ui/Download";
import { Page } from "../ui/Page";
import { ProblemAlert } from "../ui/ProblemAlert";
import { Rows } from "../ui/Rows";
import { asResult, Verdict } from "../ui/Verdict";
import { Filters } from "./Filters";
import { sessionList } from "./queries";
import { exportPath, mayExport, wantedOf } from "./wanted";

export function History() {
  const { t } = useWords();
  const { data: person } = useQuery(me);
  const [address] = useSearchParams();
  const wanted = wantedOf(address);
  const found = useInfiniteQuery(sessionList(wanted));
  const pages = found.data?.pages.map((page) => page.rows) ?? [];
  return (
    <Page
      wide
      title={t("history")}
      actions={
        mayExport(person?.role) && (
          <>
            <Download label={t("history.csv")} path={exportPath("csv", wanted)} />
            <Download label={t("history.pdf")} path={exportPath("pdf", wanted)} />
          </>
        )
      }
    >
      <Filters />
      <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />
      {found.data && pages.every((page) => page.length === 0) && <Typography>{t("history.none")}</Typography>}
      <Rows
        pages={pages}
        label={t("history")}
        name="history"
        onEnd={() => {
          if (found.hasNextPage && !found.isFetching) void found.fetchNextPage();
        }}
      >
        {(session) => <Row session={session} />}
      </Rows>
    </Page>
  );
}

function Row({ session }: { session: Schemas["SessionSummary"] }) {
  const { t, time } = useWords();
  return (
    <Button
      href={`#/sessions/${session.id}/trace`}
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
  );
}
