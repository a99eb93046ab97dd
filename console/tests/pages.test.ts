import { describe, expect, test } from "vitest";
import { csvUrl, wantedOf } from "../src/history/wanted";
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
  test("go into the table's address", () => {
    expect(csvUrl({ status: "COMPLETED", user_id: 3, since: undefined })).toBe(
      "/api/v1/exports/sessions.csv?status=COMPLETED&user_id=3",
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
