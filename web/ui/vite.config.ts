import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const require = createRequire(import.meta.url);
const { version } = JSON.parse(
  readFileSync(require.resolve("onnxruntime-web").replace(/dist.*/, "package.json"), "utf8"),
);

/** The runtime's WebAssembly, by the names under which the page asks for it. */
const RUNTIME = {
  [`runtime/wasm-${version}.bin`]: "ort-wasm-simd-threaded.wasm",
  [`runtime/webgpu-${version}.bin`]: "ort-wasm-simd-threaded.asyncify.wasm",
};

/** Puts it into the folder gzipped, because many hosts do not compress it by themselves. */
function runtime(): Plugin {
  return {
    name: "runtime",
    apply: "build",
    generateBundle(_, bundle) {
      for (const name of Object.keys(bundle)) if (name.endsWith(".wasm")) delete bundle[name];
      for (const [fileName, file] of Object.entries(RUNTIME)) {
        const source = gzipSync(readFileSync(require.resolve(`onnxruntime-web/${file}`)), { level: 9 });
        this.emitFile({ type: "asset", fileName, source });
      }
    },
  };
}

/** In workers the bundler leaves WebAssembly behind that nothing asks for. */
const withoutWasm: Plugin = {
  name: "without-wasm",
  apply: "build",
  generateBundle(_, bundle) {
    for (const name of Object.keys(bundle)) if (name.endsWith(".wasm")) delete bundle[name];
  },
};

const [wasm, webgpu] = Object.keys(RUNTIME);

export default defineConfig({
  base: "./",
  define: { RUNTIME: JSON.stringify({ wasm, webgpu }) },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
  },
  worker: { format: "es", plugins: () => [withoutWasm] },
  plugins: [runtime()],
});
