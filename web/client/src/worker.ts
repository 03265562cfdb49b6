/** The worker: one engine, asked by messages. See `load.ts` for the other side. */
import type { Source } from "./bundle.ts";
import { Engine, type EngineSettings } from "./engine.ts";
import { packError } from "./errors.ts";
import type { HttpOptions } from "./http.ts";
import type { Item } from "./model.ts";
import type { Label } from "./replies.ts";

/** What can be asked of the worker. */
export type Ask =
  | { what: "open"; source: Source; settings: EngineSettings; http: HttpOptions }
  | { what: "predict"; item: Item }
  | { what: "example"; index: number }
  | { what: "verify"; tolerance: number | undefined }
  | { what: "nearest"; chosen: readonly Label[]; n: number; least: number }
  | { what: "ratings" }
  | { what: "abort"; id: number };

let engine: Engine | null = null;
const running = new Map<number, AbortController>();

async function answer(ask: Ask, id: number, signal: AbortSignal): Promise<unknown> {
  switch (ask.what) {
    case "open": {
      const onProgress = (progress: unknown) => self.postMessage({ id, progress });
      engine = await Engine.open(ask.source, ask.settings, { ...ask.http, signal }, onProgress);
      return { manifest: engine.manifest, backend: engine.backend, threads: engine.threads };
    }
    case "predict":
      return engine!.predict(ask.item, { signal });
    case "example":
      return engine!.example(ask.index);
    case "verify":
      return engine!.verify(ask.tolerance);
    case "nearest":
      return engine!.nearest(ask.chosen, ask.n, ask.least);
    case "ratings":
      return engine!.ratings();
    case "abort":
      return running.get(ask.id)?.abort();
  }
}

self.addEventListener("message", ({ data }: MessageEvent<{ id: number; ask: Ask }>) => {
  const { id, ask } = data;
  const controller = new AbortController();
  running.set(id, controller);
  answer(ask, id, controller.signal)
    .then(
      (value) => self.postMessage({ id, value }),
      (error: unknown) => self.postMessage({ id, error: packError(error) }),
    )
    .finally(() => running.delete(id));
});
