import { describe, expect, test } from "vitest";
import { daysBefore, paretoOf, shareOf } from "../src/figures/counts";
import { exportPath, wantedOf } from "../src/history/wanted";
import { fieldsOf } from "../src/review/fields";

describe("the history's filters", () => {
  test("are read from the address; the last day is wholly included", () => {
    const wanted = wantedOf(
      new URLSearchParams("since=2026-11-01&until=2026-11-30&inspector=3&status=COMPLETED"),
    );
    expect(wanted).toMatchObject({ user_id: 3, status: "COMPLETED", product_id: undefined });
    expect(wanted.since).toBe(new Date(2026, 10, 1).toISOString());
    expect(wanted.until).toBe(new Date(2026, 11, 1).toISOString());
  });
  test("that mean nothing are left out", () => {
    const wanted = wantedOf(new URLSearchParams("since=soon&until=&inspector=x&status=GONE&product="));
    expect(Object.values(wanted).filter((value) => value !== undefined)).toEqual([]);
  });
  test("go into the table's and the document's address", () => {
    expect(exportPath("csv", { status: "COMPLETED", user_id: 3, since: undefined })).toBe(
      "/exports/sessions.csv?status=COMPLETED&user_id=3",
    );
  });
});

test("of two versions of a row only what differs is shown", () => {
  expect(fieldsOf('{"a": 1, "b": "x", "c": [1]}', '{"a": 2, "b": "x"}')).toEqual([
    ["a", "1", "2"],
    ["c", "[1]", ""],
  ]);
  expect(fieldsOf("not JSON", "{}")).toEqual([["", "not JSON", ""]]);
});

test("reasons are summed over items, most frequent first, with the share of all up to there", () => {
  const count = (item_id: string, reason_code: string, verdict_count: number) => ({
    item_id,
    reason_code,
    verdict_count,
  });
  expect(paretoOf([count("a", "dent", 2), count("a", "scratch", 5), count("b", "dent", 1)])).toEqual([
    { code: "scratch", count: 5, cumulative: 62.5 },
    { code: "dent", count: 3, cumulative: 100 },
  ]);
});

test("a rate of nothing is no rate", () => {
  const rate = { part: 0, whole: 0, cases: 0, value: null, low: null, high: null };
  expect(shareOf(rate)).toBeNull();
  expect(shareOf({ ...rate, cases: 4, value: 0.5, low: 0.25, high: 0.75 })).toEqual({
    cases: 4,
    value: 50,
    low: 25,
    high: 75,
  });
});

test("days are counted back over the ends of months", () => {
  expect(daysBefore("2026-03-01", 1)).toBe("2026-02-28");
});
