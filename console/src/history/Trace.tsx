/** All that is recorded about a session: who did what, when, with which versions. */
import Button from "@mui/material/Button";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "react-router";
import { me, session } from "../api/queries";
import { isOpen, type SessionBody, titleOf } from "../flow/progress";
import { isKey, useWords } from "../i18n";
import { Download } from "../ui/Download";
import { Facts } from "../ui/Grid";
import { Loaded, Page } from "../ui/Page";
import { Section } from "../ui/Section";
import { asResult, Verdict } from "../ui/Verdict";
import { AuditTable } from "./AuditTable";
import { useNameOf } from "./people";
import { trace } from "./queries";
import { TracedItem } from "./TracedItem";
import { mayExport } from "./wanted";

export function Trace() {
  const { sessionId = "" } = useParams();
  const { t } = useWords();
  const { data: person } = useQuery(me);
  const body = useQuery(session(sessionId));
  const recorded = useQuery(trace(sessionId));
  return (
    <Page
      wide
      title={body.data ? titleOf(body.data.target) : ""}
      actions={
        <>
          {mayExport(person?.role) && (
            <Download label={t("trace.pdf")} path={`/exports/sessions/${sessionId}.pdf`} />
          )}
          <Button href={`#/sessions/${sessionId}`}>
            {t(body.data && isOpen(body.data) ? "trace.continue" : "trace.result")}
          </Button>
        </>
      }
    >
      <Loaded of={body}>
        {(known) => (
          <Loaded of={recorded}>
            {(all) => (
              <>
                <Head body={known} />
                {known.items.map((one) => (
                  <TracedItem key={one.item.id} item={one} trace={all} />
                ))}
                <Section title={t("audit")}>
                  <AuditTable entries={all.audit} />
                </Section>
              </>
            )}
          </Loaded>
        )}
      </Loaded>
    </Page>
  );
}

function Head({ body: { session, target } }: { body: SessionBody }) {
  const { t, time } = useWords();
  const nameOf = useNameOf();
  const origin = `origin.${session.source}`;
  return (
    <section aria-label={t("trace.session")}>
      <Facts
        facts={[
          [t("history.status"), t(`status.${session.status}`)],
          [t("trace.final"), <Verdict key="final" size="small" result={asResult(session.final_result)} />],
          [t("history.inspector"), nameOf(session.user_id)],
          [t("trace.started"), time(session.started_at)],
          [t("trace.completed"), session.completed_at ? time(session.completed_at) : "—"],
          [t("trace.day"), session.work_day],
          [t("trace.code"), target.qr_code],
          [t("trace.source"), isKey(origin) ? t(origin) : session.source],
          [t("trace.masters"), session.master_version],
          [t("reason"), session.reason ?? "—"],
          [t("trace.id"), session.id],
        ]}
      />
    </section>
  );
}
