import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { CATALOGUES, fill, half, type Key } from "../src/i18n";

const keys = Object.keys(CATALOGUES.en) as Key[];
const names = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
const sources = readdirSync("src", { recursive: true, encoding: "utf-8" })
  .filter((path) => /\.tsx?$/.test(path) && !path.endsWith("schema.d.ts"))
  .map((path) => readFileSync(`src/${path}`, "utf-8"));

describe("the catalogues", () => {
  test("have the same keys in the same order", () => {
    expect(Object.keys(CATALOGUES.ja)).toEqual(keys);
  });

  test.each(keys)("%s says something in both languages, with the same values", (key) => {
    expect(CATALOGUES.en[key]).toMatch(/\S/);
    expect(CATALOGUES.ja[key]).toMatch(/\S/);
    expect(names(CATALOGUES.ja[key])).toEqual(names(CATALOGUES.en[key]));
  });

  test("hold no Japanese in English", () => {
    expect(keys.filter((key) => /[぀-ヿ一-鿿]/.test(CATALOGUES.en[key]))).toEqual([]);
  });

  test("are used, every key", () => {
    const text = sources.join("\n");
    const families = [...text.matchAll(/`([a-z]+\.)\$\{/g)].map(([, family]) => family as string);
    const unused = keys.filter(
      (key) => !text.includes(`"${key}"`) && !families.some((family) => key.startsWith(family)),
    );
    expect(unused).toEqual([]);
  });
});

test("no text for people stands in a page itself", () => {
  const spoken = sources.filter((text) => /[぀-ヿ一-鿿]/.test(text.replace(/日本語/g, "")));
  expect(spoken).toEqual([]);
});

test("values go where their names stand, and nothing else is touched", () => {
  expect(fill("{a} of {b}, {c}", { a: 1, b: "two" })).toBe("1 of two, {c}");
});

test.each([
  ["表面 / Surface", "表面", "Surface"],
  ["A / B / C", "A / B / C", "A / B / C"],
  ["plain", "plain", "plain"],
])("half of %s", (name, ja, en) => {
  expect([half(name, "ja"), half(name, "en")]).toEqual([ja, en]);
});
