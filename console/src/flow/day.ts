/** The calendar day of an instant in this time zone ("" = this machine's), as YYYY-MM-DD. */
export function dayOf(instant: string, timeZone: string): string {
  const parts = { year: "numeric", month: "2-digit", day: "2-digit" } as const;
  return new Intl.DateTimeFormat("en-CA", { ...parts, timeZone: timeZone || undefined }).format(
    new Date(instant),
  );
}
