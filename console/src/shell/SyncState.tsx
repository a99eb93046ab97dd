import Chip from "@mui/material/Chip";
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client";
import { syncStatus } from "../api/queries";
import { useWords, type Words } from "../i18n";

/** How much waits to be sent, said as it is: work goes on without a server. */
export function SyncState() {
  const words = useWords();
  const { data } = useQuery(syncStatus);
  if (!data) return null;
  return (
    <Chip
      variant="outlined"
      label={syncText(data, words)}
      sx={{ color: "inherit", borderColor: "currentColor", fontSize: "0.875rem" }}
      data-testid="sync"
    />
  );
}

export function syncText(status: Schemas["SyncStatus"], { t, number }: Words): string {
  const waiting = status.lanes.reduce((sum, lane) => sum + lane.waiting, 0);
  const count = `${number(waiting)}${status.lanes.some((lane) => lane.is_more) ? "+" : ""}`;
  return t(`sync.${status.summary}`, { count });
}
