/** The audit log, newest first, and the proof that nobody has changed it. */
import Alert from "@mui/material/Alert";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, read, type Schemas } from "../api/client";
import { AuditTable } from "../history/AuditTable";
import { useWords } from "../i18n";
import { Action } from "../ui/Action";
import { More } from "../ui/More";
import { Loaded } from "../ui/Page";
import { auditLog } from "./queries";
import { TechPage } from "./TechPage";

export function Audit() {
  const { t, number } = useWords();
  const found = useInfiniteQuery(auditLog);
  const [proof, setProof] = useState<Schemas["AuditProof"] | null>(null);
  return (
    <TechPage title={t("audit")}>
      <div>
        <Action
          label={t("audit.verify")}
          stale="audit"
          act={() => read(api.GET("/api/v1/audit/verify"))}
          onDone={setProof}
        />
      </div>
      {proof && (
        <Alert severity={proof.is_whole ? "success" : "error"} data-testid="proof">
          {t(proof.is_whole ? "audit.whole" : "audit.broken", { count: number(proof.entries) })}{" "}
          {proof.faults.join(" ")}
        </Alert>
      )}
      <Loaded of={found}>
        {({ pages }) => <AuditTable entries={pages.flatMap((page) => page.entries)} />}
      </Loaded>
      <More of={found} />
    </TechPage>
  );
}
