import { describe, expect, test } from "vitest";
import { staleAfter } from "../src/api/stale";
import { unmet } from "../src/flow/Checklist";
import { nextAfter, type SessionBody } from "../src/flow/progress";
import { faultOf, measure } from "../src/flow/quality";
import { digitsFor, toleranceOf } from "../src/flow/result";
import { moved, regionOf, WHOLE, zoomed } from "../src/flow/zoom";
import { wordsOf } from "../src/i18n";
import { readPreferences } from "../src/shell/preferences";
import { syncText } from "../src/shell/SyncState";
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
  expect(staleAfter({ kind: "folder", facts: {} })).toEqual(["folder", "health"]);
  expect(staleAfter({ kind: "masters", facts: {} })).toEqual(["masters"]);
});

describe("a scan's measured value", () => {
  const criteria = { rule: "range", nominal: 12, tol: [-0.15, 0.15], guard: 0.04, unit: "mm" };
  test("is shown against the limits", () => {
    const tolerance = toleranceOf(criteria);
    expect(tolerance).toEqual({ nominal: 12, lower: 11.85, upper: 12.15, guard: 0.04, unit: "mm" });
    expect(tolerance && digitsFor(tolerance)).toBe(3);
  });
  test("only a range has limits", () => {
    expect(toleranceOf({ rule: "class", accept: ["OK"] })).toBeNull();
  });
});

describe("the picture's quality", () => {
  const picture = (value: (x: number, y: number) => number, size = 32) => {
    const rgba = new Uint8ClampedArray(size * size * 4);
    for (let i = 0; i < size * size; i += 1) {
      rgba.fill(value(i % size, Math.floor(i / size)), i * 4, i * 4 + 3);
    }
    return faultOf(measure(rgba, size, size));
  };
  test.each([
    ["a sharp pattern is good", (x: number, y: number) => ((x + y) % 2 ? 90 : 160), null],
    ["a flat one is blurred", () => 128, "blurred"],
    ["night is dark", () => 5, "dark"],
    ["glare is bright", () => 254, "bright"],
    ["half of it clipped at the top is bright", (x: number) => (x % 2 ? 255 : 140), "bright"],
  ])("%s", (_name, value, fault) => {
    expect(picture(value)).toBe(fault);
  });
});

describe("zoom", () => {
  test("keeps the point under the finger", () => {
    const view = zoomed(WHOLE, 2, 0.25, 0.5);
    expect((0.25 - view.x) / view.scale).toBeCloseTo(0.25);
    expect((0.5 - view.y) / view.scale).toBeCloseTo(0.5);
  });
  test("never shows what lies beside the picture", () => {
    expect(moved(zoomed(WHOLE, 2), 5, -5)).toEqual({ scale: 2, x: 0, y: -1 });
    expect(zoomed(zoomed(WHOLE, 3, 0, 0), 0.001)).toEqual(WHOLE);
  });
  test("a region is in pixels, whichever way it is drawn; a click is none", () => {
    expect(regionOf([0.5, 0.5], [0.25, 0.25], 640, 480)).toEqual([160, 120, 160, 120]);
    expect(regionOf([0.9, 0.9], [1.5, 1.5], 100, 100)).toEqual([90, 90, 10, 10]);
    expect(regionOf([0.5, 0.5], [0.501, 0.501], 640, 480)).toBeNull();
  });
});

describe("what comes next", () => {
  const item = (id: string, human_result: string) => ({ item: { id }, verdict: { human_result } });
  const body = (...items: ReturnType<typeof item>[]) => ({ items }) as unknown as SessionBody;
  test("the following undecided item, else the first, else none", () => {
    const some = body(item("a", ""), item("b", "OK"), item("c", ""));
    expect(nextAfter(some, "a")?.item.id).toBe("c");
    expect(nextAfter(some, "c")?.item.id).toBe("a");
    expect(nextAfter(body(item("a", "OK")), "a")).toBeNull();
  });
});

test("a checklist is met when every answer is as expected", () => {
  const checks = [
    { key: "led", label: "LED", expect: true },
    { key: "noise", label: "Noise", expect: false },
  ];
  expect(unmet(checks, { led: true }).map((check) => check.key)).toEqual(["noise"]);
  expect(unmet(checks, { led: true, noise: false })).toEqual([]);
});

describe("preferences", () => {
  test("begin with the browser's language, Japanese unless it is another", () => {
    expect(readPreferences(null, ["en-US"]).language).toBe("en");
    expect(readPreferences(null, ["en-US", "ja"]).language).toBe("ja");
    expect(readPreferences(null, []).language).toBe("ja");
  });
  test("survive what an older version kept", () => {
    expect(readPreferences('{"isLarge": true, "language": "xx"}', ["en"])).toMatchObject({
      isLarge: true,
      language: "en",
      hasSound: true,
    });
    expect(readPreferences("not JSON", ["ja"]).language).toBe("ja");
  });
});

test("what waits is counted over all lanes, and more is said to be more", () => {
  const lane = { priority: 1, waiting: 1500, is_more: true, oldest_at: "" };
  const status = { summary: "offline", lanes: [lane, { ...lane, waiting: 2, is_more: false }] };
  expect(syncText(status as never, wordsOf("en"))).toBe("Offline · 1,502+ unsent");
  expect(syncText({ summary: "up-to-date", lanes: [] } as never, wordsOf("en"))).toBe("All sent");
});
