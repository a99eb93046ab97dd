import type { LiveEvent } from "./live";

/** The first words of the keys that an event makes stale; null = everything. */
export function staleAfter(event: LiveEvent): readonly string[] | null {
  switch (event.kind) {
    case "session":
      return ["session", "review", "sync"];
    case "image":
    case "verdict":
      return ["session", "image", "review", "sync"];
    case "reset":
      return null;
    default:
      return [event.kind];
  }
}
