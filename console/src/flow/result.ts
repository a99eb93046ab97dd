/** What the AI wrote down of a run (schema "result/1"), as far as it is shown. */
import type { Schemas } from "../api/client";

export interface Reason {
  code: string;
  [fact: string]: unknown;
}
export interface Step {
  id: string;
  type: string;
  ms: number;
  ok: boolean;
}
export interface Detail {
  reasons: Reason[];
  steps: Step[];
  objects: { label: string; confidence: number; box_px: [number, number, number, number] }[];
  classes: { label: string; confidence: number }[];
  scores: { value: number }[];
  measurements: { value: number; unit: string }[];
  texts: { text: string; confidence: number }[];
  codes: { text: string; format: string }[];
}

const LISTS = ["reasons", "steps", "objects", "classes", "scores", "measurements", "texts", "codes"] as const;

/** Lists that a result does not have are empty. */
export function detailOf(run: Pick<Schemas["AiInspection"], "detailed_results">): Detail {
  const known = run.detailed_results as Partial<Detail>;
  return Object.fromEntries(LISTS.map((name) => [name, known[name] ?? []])) as unknown as Detail;
}

/** The newest run of an image; the agent lists them oldest first. */
export const latest = (runs: readonly Schemas["AiInspection"][]): Schemas["AiInspection"] | null =>
  runs.at(-1) ?? null;

export interface Tolerance {
  nominal: number;
  lower: number;
  upper: number;
  /** Within this of a limit a person decides. */
  guard: number;
  unit: string;
}

/** The tolerance of a measured item; null for every other rule. */
export function toleranceOf(criteria: Record<string, unknown>): Tolerance | null {
  const { rule, nominal, tol, guard, unit } = criteria;
  if (rule !== "range" || typeof nominal !== "number" || !Array.isArray(tol)) return null;
  const [below, above] = tol as [number, number];
  return {
    nominal,
    lower: nominal + below,
    upper: nominal + above,
    guard: typeof guard === "number" ? guard : 0,
    unit: String(unit ?? ""),
  };
}

/** Digits after the point that show a tolerance's width in at least two figures. */
export const digitsFor = ({ lower, upper }: Tolerance): number =>
  Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(Math.max(1e-6, upper - lower)))));

/** Facts as text: numbers short, lists joined, nested things left to the trace page. */
export function factText(value: unknown, number: (value: number, digits?: number) => string): string {
  if (typeof value === "number") return number(value, Number.isInteger(value) ? 0 : 3);
  if (Array.isArray(value)) return value.map((one) => factText(one, number)).join(", ");
  if (typeof value === "object" && value !== null) {
    return Object.entries(value)
      .map(([name, one]) => `${name} ${factText(one, number)}`)
      .join(", ");
  }
  return String(value);
}
