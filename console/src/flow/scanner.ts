/**
 * A scanner that types: letters in a row, then Enter, wherever the focus is.
 *
 * Rules of this file:
 * - What a person types into a field is the field's; the reader only sees keys that nobody else wants.
 * - No letter is lost: it listens before the screen is painted.
 */
import { useEffectEvent, useLayoutEffect } from "react";

const PAUSE_MS = 1000; // people hesitate, scanners do not: after a pause a new text begins

export interface Reader {
  text: string;
  at_ms: number;
}
export const NOTHING: Reader = { text: "", at_ms: 0 };

/** The next state after a key at `now_ms`, and the text if the key ended one. */
export function readKey(reader: Reader, key: string, now_ms: number): [Reader, string | null] {
  const before = now_ms - reader.at_ms > PAUSE_MS ? "" : reader.text;
  if (key === "Enter") return [NOTHING, before.length > 1 ? before : null];
  if (key.length !== 1) return [{ text: before, at_ms: now_ms }, null];
  return [{ text: before + key, at_ms: now_ms }, null];
}

export function useScanner(onText: (text: string) => void): void {
  const scanned = useEffectEvent(onText);
  useLayoutEffect(() => {
    let reader = NOTHING;
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.altKey || event.metaKey || isField(event.target)) return;
      const [next, text] = readKey(reader, event.key, event.timeStamp);
      if (next.text && reader.text) event.preventDefault(); // the rest of a scan presses no button
      reader = next;
      if (text === null) return;
      event.preventDefault();
      scanned(text);
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}

export function isField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null
  );
}
