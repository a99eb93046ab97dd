/** The history's filters as they stand in the address: what is shown can be kept, sent and gone back to. */
import type { Schemas } from "../api/client";
import { STATUSES, type Wanted } from "./queries";

const DAY = /^\d{4}-\d{2}-\d{2}$/;
export const FIELDS = ["text", "since", "until", "product", "inspector", "status"] as const;
export type Field = (typeof FIELDS)[number];

/** Days begin at this machine's midnight, and the last day is wholly included. */
export function wantedOf(address: URLSearchParams): Wanted {
  const [since, until] = [address.get("since") ?? "", address.get("until") ?? ""];
  const inspector = Number(address.get("inspector") ?? "");
  return {
    text: address.get("text") || undefined,
    status: STATUSES.find((one) => one === address.get("status")),
    product_id: address.get("product") || undefined,
    user_id: Number.isInteger(inspector) && inspector > 0 ? inspector : undefined,
    since: DAY.test(since) ? midnight(since, 0) : undefined,
    until: DAY.test(until) ? midnight(until, 1) : undefined,
  };
}

/** Where the same filters give the whole list for a spreadsheet, or as a document. */
export function exportPath(kind: "csv" | "pdf", wanted: Wanted): string {
  const known = Object.entries(wanted).filter(([, value]) => value !== undefined);
  const query = new URLSearchParams(known.map(([name, value]) => [name, String(value)]));
  return `/exports/sessions.${kind}?${query}`;
}

/** Whether this person may take records away (the agent decides; others are not shown the buttons). */
export const mayExport = (role: Schemas["Role"] | undefined): boolean =>
  role === "supervisor" || role === "admin";

function midnight(day: string, later: number): string | undefined {
  const [year = 0, month = 1, date = 1] = day.split("-").map(Number);
  const instant = new Date(year, month - 1, date + later);
  return Number.isNaN(instant.getTime()) ? undefined : instant.toISOString();
}
