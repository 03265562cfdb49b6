import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // the built page works in any folder of any host
  build: { target: "es2022", chunkSizeWarningLimit: 1000 },
  worker: { format: "es" },
  // The client brings its own worker and WebAssembly, which stay as they are.
  optimizeDeps: { exclude: ["@wiggly/client", "onnxruntime-web"], include: ["@wiggly/client > fflate"] },
});
