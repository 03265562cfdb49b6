// Compiles src/ to dist/: ES modules with their types, as they are published.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const here = import.meta.dirname;
const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
rmSync(join(here, "dist"), { recursive: true, force: true });
execFileSync(process.execPath, [join(typescript, "bin", "tsc"), "-p", join(here, "tsconfig.build.json")], {
  stdio: "inherit",
});
