/** What two versions of a row differ in: [field, ours, the server's]. */
export function fieldsOf(ours: string, theirs: string): [string, string, string][] {
  const [here, there] = [rowOf(ours), rowOf(theirs)];
  const names = [...new Set([...Object.keys(here), ...Object.keys(there)])];
  return names
    .map((name): [string, string, string] => [name, textOf(here[name]), textOf(there[name])])
    .filter(([, one, other]) => one !== other);
}

/** The fields of a row sent as JSON; what is no object is shown as it is. */
export function rowOf(text: string): Record<string, unknown> {
  try {
    const row: unknown = JSON.parse(text);
    return typeof row === "object" && row !== null ? (row as Record<string, unknown>) : { "": text };
  } catch {
    return { "": text };
  }
}

const textOf = (value: unknown): string =>
  value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value);
