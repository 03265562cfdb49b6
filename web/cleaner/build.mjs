// Builds the notebook's form of the cleaner, one ES module and its style; the page is built by vite.
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../../src/wiggly/clean/static");

mkdirSync(out, { recursive: true });
await build({
  entryPoints: [join(here, "src/widget.ts")],
  outfile: join(out, "widget.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  logLevel: "warning",
});
copyFileSync(join(here, "src/style.css"), join(out, "widget.css"));
