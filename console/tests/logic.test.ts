import { describe, expect, test } from "vitest";
import { staleAfter } from "../src/api/stale";
import { dayOf } from "../src/flow/day";
import { NOTHING, readKey } from "../src/flow/scanner";

function typed(keys: string[], step_ms: number): string | null {
  let [reader, text] = [NOTHING, null as string | null];
  keys.forEach((key, index) => {
    [reader, text] = readKey(reader, key, 5000 + index * step_ms);
  });
  return text;
}

describe("a scanner that types", () => {
  test("gives the letters before Enter", () => {
    expect(typed([..."DEMO-PLATE,L1,P1", "Enter"], 5)).toBe("DEMO-PLATE,L1,P1");
  });
  test("is told from a person by the pause", () => {
    expect(typed(["x", "y", "Enter"], 2000)).toBeNull();
  });
  test("ignores keys that write nothing", () => {
    expect(typed(["Shift", "A", "Shift", "B", "Enter"], 5)).toBe("AB");
  });
  test("a lone key is no scan", () => {
    expect(typed(["a", "Enter"], 5)).toBeNull();
  });
});

test("a day is the agent's, not the browser's", () => {
  expect(dayOf("2026-11-23T23:30:00.000Z", "Asia/Tokyo")).toBe("2026-11-24");
  expect(dayOf("2026-11-23T23:30:00.000Z", "UTC")).toBe("2026-11-23");
});

test("after a reset everything is read again, after a verdict what shows it", () => {
  expect(staleAfter({ kind: "reset", facts: {} })).toBeNull();
  expect(staleAfter({ kind: "verdict", facts: {} })).toContain("session");
  expect(staleAfter({ kind: "masters", facts: {} })).toEqual(["masters"]);
});
