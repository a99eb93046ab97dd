// Unpacks the Chromium that console/node_modules carries: node unpack.mjs PACKAGE TARGET.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliDecompressSync } from "node:zlib";

const [source, target] = process.argv.slice(2);
const unpacked = (name) => brotliDecompressSync(readFileSync(`${source}/bin/${name}.br`));
mkdirSync(target, { recursive: true });
writeFileSync(`${target}/chromium`, unpacked("chromium"), { mode: 0o755 });
for (const archive of ["al2023.tar", "swiftshader.tar"]) {
  execFileSync("tar", ["x", "-C", target], { input: unpacked(archive) });
}
