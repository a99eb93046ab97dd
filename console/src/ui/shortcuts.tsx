/**
 * Keys that do what a button does, shown on the button.
 *
 * Rules of this file:
 * - Only single keys without modifiers; a field that is being typed into keeps its keys.
 * - A letter or digit acts after a breath: one that others follow at once comes from a scanner, and a
 *   scan must never judge an item or press the button that has the focus.
 * - What is seen can be pressed: keys are listened to before the screen is painted.
 */
import Box from "@mui/material/Box";
import { useEffectEvent, useLayoutEffect } from "react";
import { isField } from "../flow/scanner";

export type Shortcuts = Readonly<Record<string, (() => void) | false | undefined>>;
const BREATH_MS = 60;

/** `shortcuts`: what each key does ("1", "r", "Escape", …); false or absent: nothing now. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const act = useEffectEvent((key: string) => {
    const chosen = shortcuts[key];
    if (chosen) chosen();
  });
  useLayoutEffect(() => {
    let waiting: ReturnType<typeof setTimeout> | undefined;
    let last_ms = -BREATH_MS;
    const onKey = (event: KeyboardEvent) => {
      const isOther = event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat;
      if (isOther || isField(event.target)) return;
      const isBurst = event.timeStamp - last_ms < BREATH_MS;
      if (event.key.length === 1) {
        last_ms = event.timeStamp;
        clearTimeout(waiting);
        if (!isBurst) waiting = setTimeout(act, BREATH_MS, event.key.toLowerCase());
      } else if (event.key === "Enter" && isBurst) {
        clearTimeout(waiting);
        event.preventDefault();
      } else act(event.key);
    };
    window.addEventListener("keydown", onKey, { capture: true });
    return () => {
      clearTimeout(waiting);
      window.removeEventListener("keydown", onKey, { capture: true });
    };
  }, []);
}

/** The key of a button, at its end. */
export function Kbd({ children }: { children: string }) {
  return (
    <Box
      component="kbd"
      aria-hidden
      sx={{ ml: 1, px: 0.75, border: 1, borderRadius: 1, fontSize: "0.8rem", fontFamily: "monospace" }}
    >
      {children}
    </Box>
  );
}
