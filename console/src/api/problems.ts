import type { components } from "./schema";

export type ProblemDocument = components["schemas"]["ProblemDocument"];

/** What the agent (or the way to it) said instead of an answer: always with a hint what to do. */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly hint: string;
  readonly problems: readonly { message: string; pointer: string }[];

  constructor(document: Partial<ProblemDocument> & { code: string }) {
    super(document.detail ?? document.code);
    this.code = document.code;
    this.status = document.status ?? 0;
    this.title = document.title ?? "";
    this.hint = document.hint ?? "";
    this.problems = document.problems ?? [];
  }
}

/** The agent did not answer at all; words come from the catalogue (`problem.unreachable`). */
export const UNREACHABLE = "agent-unreachable";

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError) return new Problem({ code: UNREACHABLE, detail: "" }); // fetch's word
  return new Problem({ code: "console-failed", detail: String(error) });
}

export async function problemOf(response: Response): Promise<Problem> {
  const isProblem = response.headers.get("content-type")?.includes("problem+json");
  const document = isProblem ? ((await response.json()) as ProblemDocument) : null;
  return new Problem(document ?? { code: `http-${response.status}`, status: response.status });
}
