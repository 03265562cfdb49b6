/** ONNX Runtime Web: which of its builds, started how. */
import type { InferenceSession, Tensor } from "onnxruntime-web/wasm";
import { DeviceError } from "./errors.ts";
import { bytesOf, request, type HttpOptions } from "./http.ts";

/** Where a model runs. */
export type Backend = "webgpu" | "wasm";

/** Addresses of the runtime's WebAssembly, gzipped or not; without them the bundler's are used. */
export interface RuntimeFiles {
  wasm?: string | URL;
  webgpu?: string | URL;
}

/** What of the runtime is used; both builds have it. */
export interface Ort {
  InferenceSession: typeof InferenceSession;
  Tensor: typeof Tensor;
}

/** What is asked of WebGPU, whose types TypeScript does not have yet. */
interface Gpu {
  requestAdapter(): Promise<{ isFallbackAdapter?: boolean; info?: { isFallbackAdapter?: boolean } } | null>;
}

const MOST_THREADS = 4; // beyond, small models get slower

/** The backends to try, best first. */
export async function backends(wanted: Backend | "auto"): Promise<Backend[]> {
  if (wanted !== "auto") return [wanted];
  const gpu = (globalThis.navigator as { gpu?: Gpu } | undefined)?.gpu;
  const adapter = await gpu?.requestAdapter().catch(() => null);
  // A fallback adapter computes on the processor, slower than WebAssembly.
  const real = adapter && !adapter.isFallbackAdapter && !adapter.info?.isFallbackAdapter;
  return real ? ["webgpu", "wasm"] : ["wasm"];
}

/** Threads that can be used: more than one only where the page is isolated from other sites. */
export function threadsFor(wanted: number | undefined): number {
  if (!globalThis.crossOriginIsolated) return 1;
  return wanted ?? Math.max(1, Math.min(MOST_THREADS, globalThis.navigator?.hardwareConcurrency ?? 1));
}

/**
 * Starts the runtime.
 *
 * @param backend - Which build.
 * @param files - Where its WebAssembly is.
 * @param threads - How many.
 * @param http - How it is fetched.
 * @param onBytes - Told while it arrives.
 */
export async function start(
  backend: Backend,
  files: RuntimeFiles,
  threads: number,
  http: HttpOptions,
  onBytes: (loaded: number, total: number) => void,
): Promise<Ort> {
  if (typeof WebAssembly === "undefined") {
    const fix = "Use another browser, or ask a server with `connect`.";
    throw new DeviceError("models run in WebAssembly", "this browser has none, or forbids it", fix);
  }
  const ort =
    backend === "webgpu" ? await import("onnxruntime-web/webgpu") : await import("onnxruntime-web/wasm");
  const { wasm } = ort.env;
  wasm.numThreads = threads;
  const address = files[backend];
  if (address !== undefined) {
    const response = await request(new URL(address, globalThis.location?.href), {}, http);
    wasm.wasmBinary = await inflated(await bytesOf(response, onBytes));
  }
  return ort;
}

/** Without its gzip, if it has one: many hosts do not compress WebAssembly by themselves. */
async function inflated(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
