/** Addresses of the runtime's WebAssembly, from the page's folder. */
declare const RUNTIME: { wasm: string; webgpu: string };
