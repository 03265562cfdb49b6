/** A model on the visitor's own device: `load("pets.wiggly")`. Nothing that is asked leaves the device. */
import type { Source } from "./bundle.ts";
import type { Engine, EngineSettings, Progress } from "./engine.ts";
import { DeviceError, unpackError, type PostedError } from "./errors.ts";
import type { HttpOptions } from "./http.ts";
import type { Manifest } from "./manifest.ts";
import type { Item, Model, PredictOptions } from "./model.ts";
import type { Near } from "./nearest.ts";
import type { Label, Reply } from "./replies.ts";
import type { Backend } from "./runtime.ts";
import type { Row } from "./tables.ts";
import type { Verified } from "./verify.ts";
import type { Ask } from "./worker.ts";

/** How to load. */
export interface LoadOptions
  extends EngineSettings, Pick<HttpOptions, "headers" | "retries" | "timeout" | "signal"> {
  /** Told while the model and the runtime arrive. */
  onProgress?: (progress: Progress) => void;
  /** false computes in the calling thread, which stands still meanwhile. */
  worker?: boolean;
}

/** A model on this device. */
export interface LocalModel extends Model {
  readonly info: Manifest;
  /** Where it runs. */
  readonly backend: Backend;
  /** Threads of WebAssembly. */
  readonly threads: number;
  /** Runs the worked examples and compares with what was recorded. */
  verify(tolerance?: number): Promise<Verified>;
  /** Of recommenders: what people liked who liked these, nearest first. */
  nearest(chosen: readonly Label[], options?: { n?: number; least?: number }): Promise<Near[]>;
  /** Of recommenders: how often each item was rated in training. */
  ratings(): Promise<number[]>;
}

interface Opened {
  manifest: Manifest;
  backend: Backend;
  threads: number;
}

/** Asks the engine, wherever it is. */
interface Line {
  ask<T>(ask: Ask, options?: { signal?: AbortSignal | undefined; transfer?: Transferable[] }): Promise<T>;
  close(): void;
}

/**
 * Loads a bundle to run on this device.
 *
 * @param source - The address of a bundle, or of a folder with its files (it ends in `/`), or the file itself.
 * @param options - How.
 * @throws NetworkError, TimeoutError, ServerError - It cannot be fetched.
 * @throws BundleError - It is none, damaged, or has no graph.
 * @throws DeviceError - This device cannot run it.
 */
export async function load(source: Source, options: LoadOptions = {}): Promise<LocalModel> {
  const { onProgress = () => undefined, worker = true, signal, headers, retries, timeout } = options;
  const { backend, threads, precision, runtime } = options;
  const http = defined({ headers, retries, timeout });
  const settings = defined({ backend, threads, precision, runtime: absolute(runtime) });
  if (!worker) {
    const { Engine } = await import("./engine.ts");
    const engine = await Engine.open(source, settings, { ...http, ...defined({ signal }) }, onProgress);
    return local(engine, direct(engine));
  }
  const line = inWorker(onProgress);
  const from = typeof source === "string" ? new URL(source, globalThis.location?.href).href : source;
  const ask: Ask = { what: "open", source: from instanceof URL ? from.href : from, settings, http };
  try {
    return local(await line.ask<Opened>(ask, { signal }), line);
  } catch (error) {
    line.close();
    throw error;
  }
}

/** Without what is undefined. */
function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

function absolute(files: LoadOptions["runtime"]): LoadOptions["runtime"] {
  if (!files) return undefined;
  const all = Object.entries(files).map(([name, at]) => [name, new URL(at, globalThis.location?.href).href]);
  return Object.fromEntries(all) as LoadOptions["runtime"];
}

function local({ manifest, backend, threads }: Opened, line: Line): LocalModel {
  return {
    info: manifest,
    backend,
    threads,
    examples: manifest.examples?.length ?? 0,
    predict: (item: Item, { signal }: PredictOptions = {}) => {
      const ask = { what: "predict", item: item instanceof URL ? item.href : item } as const;
      return line.ask<Reply>(ask, { signal });
    },
    example: (index) => line.ask<Blob | Row>({ what: "example", index }),
    verify: (tolerance) => line.ask<Verified>({ what: "verify", tolerance }),
    nearest: (chosen, { n = 10, least = 1 } = {}) => line.ask<Near[]>({ what: "nearest", chosen, n, least }),
    ratings: () => line.ask<number[]>({ what: "ratings" }),
    close: () => line.close(),
  };
}

/** To an engine in this thread. */
function direct(engine: Engine): Line {
  const ask = (asked: Ask, signal?: AbortSignal): Promise<unknown> => {
    switch (asked.what) {
      case "predict":
        return engine.predict(asked.item, signal ? { signal } : {});
      case "example":
        return engine.example(asked.index);
      case "verify":
        return engine.verify(asked.tolerance);
      case "nearest":
        return engine.nearest(asked.chosen, asked.n, asked.least);
      case "ratings":
        return engine.ratings();
      default:
        return Promise.reject(new Error(`'${asked.what}' is for workers`));
    }
  };
  return {
    ask: <T>(asked: Ask, { signal }: { signal?: AbortSignal | undefined } = {}) =>
      ask(asked, signal) as Promise<T>,
    close: () => void engine.release(),
  };
}

interface Posted {
  id: number;
  value?: unknown;
  progress?: Progress;
  error?: PostedError;
}

/** To an engine in a worker of its own. */
function inWorker(onProgress: (progress: Progress) => void): Line {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: unknown) => void }>();
  let last = 0;
  worker.addEventListener("message", ({ data }: MessageEvent<Posted>) => {
    if (data.progress) return onProgress(data.progress);
    const { resolve, reject } = waiting.get(data.id) ?? {};
    waiting.delete(data.id);
    if (data.error) reject?.(unpackError(data.error));
    else resolve?.(data.value as never);
  });
  const fail = (event: Event) => {
    const received = (event as ErrorEvent).message || "it could not be started";
    const error = new DeviceError(
      "the worker must run",
      received,
      "Reload the page, or use another browser.",
    );
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.addEventListener("error", fail);
  worker.addEventListener("messageerror", fail);
  return {
    ask: (ask, { signal, transfer = [] } = {}) => {
      if (signal?.aborted) return Promise.reject(signal.reason as Error);
      const id = ++last;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        const stop = () => {
          waiting.delete(id);
          worker.postMessage({ id: ++last, ask: { what: "abort", id } });
          reject(signal?.reason as Error);
        };
        signal?.addEventListener("abort", stop, { once: true });
        worker.postMessage({ id, ask }, transfer);
      });
    },
    close: () => {
      worker.terminate();
      fail(new ErrorEvent("error", { message: "it was closed" }));
    },
  };
}
