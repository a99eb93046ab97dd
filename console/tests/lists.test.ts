import { describe, expect, test } from "vitest";
import { type LiveList, pageOf, patched } from "../src/api/lists";
import { rowAt, startsOf } from "../src/ui/pages";

interface Row {
  id: string;
  at: number;
  state?: string;
}
const newestFirst: LiveList<Row> = {
  compare: (one, other) => other.at - one.at,
  sessionOf: (row) => row.id,
  read: () => Promise.resolve([]),
};
const row = (at: number, state = "open"): Row => ({ id: `s${at}`, at, state });
const loaded = (...pages: Row[][]) => ({
  pages: pages.map((rows) => pageOf(rows, `after ${rows.length}`)),
  pageParams: [null],
});
const apply = (data: ReturnType<typeof loaded>, fresh: Row[], ...changed: string[]) =>
  patched(data, fresh, new Set(changed), newestFirst).pages.map((page) => page.rows);

describe("a list that is looked at", () => {
  test("gets a new row where it belongs, and leaves the other pages as they are", () => {
    const before = loaded([row(9), row(8)], [row(6), row(5)]);
    const after = patched(before, [row(7)], new Set(["s7"]), newestFirst);
    expect(after.pages.map((page) => page.rows.map((one) => one.at))).toEqual([
      [9, 8],
      [7, 6, 5],
    ]);
    expect(after.pages[0]).toBe(before.pages[0]);
    expect(after.pages[1]?.next?.cursor).toBe("after 2");
  });
  test("shows a changed row as it is now, and drops one that no longer belongs", () => {
    const data = loaded([row(9), row(8)], [row(6)]);
    expect(apply(data, [row(8, "done")], "s8", "s6")).toEqual([[row(9), row(8, "done")], []]);
  });
  test("keeps its end when the last row is another now", () => {
    const data = patched(loaded([row(9), row(8)]), [], new Set(["s8"]), newestFirst);
    const after = patched(data, [row(8, "again")], new Set(["s8"]), newestFirst);
    expect(after.pages[0]?.rows).toEqual([row(9), row(8, "again")]);
  });
  test("leaves to be loaded what lies beyond its end", () => {
    expect(apply(loaded([row(9), row(8)]), [row(1)], "s1")).toEqual([[row(9), row(8)]]);
  });
  test("that is whole gets rows at its end", () => {
    const whole = { pages: [pageOf([row(9)], null)], pageParams: [null] };
    expect(patched(whole, [row(1)], new Set(["s1"]), newestFirst).pages[0]?.rows).toEqual([row(9), row(1)]);
    const empty = { pages: [pageOf<Row>([], null)], pageParams: [null] };
    expect(patched(empty, [row(1)], new Set(["s1"]), newestFirst).pages[0]?.rows).toEqual([row(1)]);
  });
});

test("rows are found by their number in pages of any length", () => {
  const pages = [["a", "b"], [], ["c"], ["d", "e", "f"]];
  const starts = startsOf(pages);
  expect(starts.at(-1)).toBe(6);
  expect([..."abcdef"].map((_, index) => rowAt(pages, starts, index))).toEqual([..."abcdef"]);
  expect(rowAt(pages, starts, 6)).toBeUndefined();
  expect(rowAt([], startsOf([]), 0)).toBeUndefined();
});
