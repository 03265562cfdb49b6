// Builds one ES module per explorable into the Python package, and the numeric core for the tests.
import { readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../../src/wiggly/teach/static");
const entries = readdirSync(join(here, "src/explorables")).map((name) => join(here, "src/explorables", name));
const shared = { bundle: true, format: "esm", target: "es2022", legalComments: "none", logLevel: "warning" };

rmSync(out, { recursive: true, force: true });
await build({ ...shared, entryPoints: entries, outdir: out, minify: true });
await build({
  ...shared,
  entryPoints: [join(here, "src/core/all.ts")],
  outfile: join(here, "dist/core.mjs"),
});
console.log(`${entries.length} explorables: ${entries.map((name) => basename(name, ".ts")).join(", ")}`);
