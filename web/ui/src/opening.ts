/** Finds the model: on this device, or on the server that `wiggly web` was told. */
import { connect, load, type LocalModel, type Model, type Progress } from "@wiggly/client";

/** What `wiggly web` writes beside the page. */
interface Settings {
  /** Folder of the model. */
  model?: string;
  /** Address of a /v1 server that is asked instead. */
  endpoint?: string;
}

/** A model and where it runs. */
export interface Opened {
  model: Model;
  local: LocalModel | null;
  /** The server's host. */
  host: string;
}

/** What is said meanwhile. */
export type Status = Progress | { phase: "waking"; loaded: number; total: number };

const CONTROL_PATIENCE = 4000; // milliseconds

/** Opens the model. */
export async function open(onStatus: (status: Status) => void): Promise<Opened> {
  await controlled();
  const response = await fetch("./page.json");
  const settings = (await response.json()) as Settings;
  if (settings.endpoint) {
    const onWaiting = () => onStatus({ phase: "waking", loaded: 0, total: 0 });
    const model = await connect(settings.endpoint, { onWaiting, retries: 3, timeout: 30_000 });
    return { model, local: null, host: model.url.host };
  }
  const backend = new URLSearchParams(location.search).get("backend");
  const wanted = backend === "wasm" || backend === "webgpu" ? backend : "auto";
  const model = await load(settings.model ?? "./model/", {
    runtime: RUNTIME,
    onProgress: onStatus,
    retries: 1,
    backend: wanted,
  });
  return { model, local: model, host: "" };
}

/** Waits until the service worker hands out the files: then what is fetched now is there offline. */
async function controlled(): Promise<void> {
  const { serviceWorker } = navigator as Partial<Navigator>;
  if (!serviceWorker) return;
  const taken = new Promise<void>((resolve) => {
    if (serviceWorker.controller) resolve();
    serviceWorker.addEventListener("controllerchange", () => resolve(), { once: true });
  });
  const patience = new Promise<void>((resolve) => setTimeout(resolve, CONTROL_PATIENCE));
  try {
    await serviceWorker.register("./sw.js");
    await Promise.race([taken, patience]);
  } catch {
    // a page from a file, or a browser that forbids it: it works, but not offline
  }
}
