import type { Schemas } from "../api/client";
import { useWords } from "../i18n";
import { Grid } from "../ui/Grid";

/** Entries of the audit log, in the order given. */
export function AuditTable({ entries }: { entries: readonly Schemas["AuditEntry"][] }) {
  const { t, time } = useWords();
  const heads = ["number", "at", "actor", "action", "subject", "detail"] as const;
  return (
    <Grid
      label={t("audit")}
      heads={heads.map((one) => t(`audit.${one}`))}
      rows={entries.map((one) => ({
        key: one.seq,
        cells: [
          one.seq,
          time(one.created_at),
          one.actor,
          one.action,
          `${one.entity_type} ${one.entity_id}`,
          one.detail,
        ],
      }))}
    />
  );
}
