import { readFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";
import { expect, test } from "vitest";

test("the client's types are those of docs/openapi.json (make docs)", async () => {
  const contract = new URL("../../docs/openapi.json", import.meta.url);
  const generated = astToString(await openapiTS(contract, { defaultNonNullable: false }));
  const kept = readFileSync("src/api/schema.d.ts", "utf-8");
  expect(kept.endsWith(generated), "run `make docs` and commit console/src/api/schema.d.ts").toBe(true);
}, 30_000);
