import type { LiveEvent } from "./live";

/** The first words of the keys that an event makes stale; null = everything. */
export function staleAfter(event: LiveEvent): readonly string[] | null {
  switch (event.kind) {
    case "session":
      return ["session", "sync"];
    case "image":
    case "verdict":
      return ["session", "image", "sync"];
    case "folder":
      return ["folder", "health"];
    case "reset":
      return null;
    default:
      return [event.kind];
  }
}

/** The session an event is about: lists read its rows again (lists.ts). */
export const sessionIn = ({ facts }: LiveEvent): string | null =>
  typeof facts.session_id === "string" ? facts.session_id : null;
