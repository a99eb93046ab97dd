/** Figures as they are drawn: pure, from what the agent counted. */
import type { Schemas } from "../api/client";

export interface Bar {
  code: string;
  count: number;
  /** Share of this reason and all more frequent ones, in percent. */
  cumulative: number;
}
const PERCENT = 100;

/** Reasons over all items, most frequent first. */
export function paretoOf(reasons: readonly Schemas["ReasonCount"][]): Bar[] {
  const counts = new Map<string, number>();
  for (const { reason_code, verdict_count } of reasons) {
    counts.set(reason_code, (counts.get(reason_code) ?? 0) + verdict_count);
  }
  const sorted = [...counts].sort(([, one], [, other]) => other - one);
  const all = sorted.reduce((sum, [, count]) => sum + count, 0);
  let sum = 0;
  return sorted.map(([code, count]) => {
    sum += count;
    return { code, count, cumulative: (PERCENT * sum) / all };
  });
}

/** Percent, with the 95 % interval and the number of cases looked at. */
export interface Share {
  value: number;
  low: number;
  high: number;
  cases: number;
}

/** A rate in percent, or null where nothing was counted. */
export function shareOf({ value, low, high, cases }: Schemas["Rate"]): Share | null {
  if (value === null || low === null || high === null) return null;
  return { value: value * PERCENT, low: low * PERCENT, high: high * PERCENT, cases };
}

/** The day that many days before `day` (YYYY-MM-DD). */
export function daysBefore(day: string, days: number): string {
  const date = new Date(`${day}T00:00:00Z`);
  date.setUTCDate(date.getUTCDate() - days);
  return date.toISOString().slice(0, "YYYY-MM-DD".length);
}
