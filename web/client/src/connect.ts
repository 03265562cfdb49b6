/** A model on a server: `connect("https://…")`, for `wiggly serve` and the Spaces that run it. */
import { InputError } from "./errors.ts";
import type { components } from "./generated/api.ts";
import { request, type HttpOptions } from "./http.ts";
import type { Item, Model, ModelInfo, PredictOptions } from "./model.ts";
import { takesPictures } from "./model.ts";
import type { Reply } from "./replies.ts";
import type { Row } from "./tables.ts";

export type { HttpOptions as ConnectOptions };

/** A model that a server runs. */
export interface RemoteModel extends Model {
  /** The server's address. */
  readonly url: URL;
  /** Many rows at once. */
  predictRows(rows: readonly Row[], options?: PredictOptions): Promise<Reply[]>;
}

/** What `GET /v1/model` answers. */
type Described = components["schemas"]["Model"];

/**
 * Connects to a `/v1` server. A Space that sleeps is woken: it is asked again, with longer and longer waits.
 *
 * @param url - Address of the server, with or without `/v1`.
 * @param options - How to ask; holds for every later request too.
 * @throws NetworkError - It cannot be reached.
 * @throws TimeoutError - It does not answer.
 * @throws ServerError - It refuses.
 */
export async function connect(url: string | URL, options: HttpOptions = {}): Promise<RemoteModel> {
  const base = baseOf(new URL(url, globalThis.location?.href));
  const at = (path: string) => new URL(path, base);
  const response = await request(at("v1/model"), {}, options);
  const { examples, ...described } = (await response.json()) as Described;
  const info: ModelInfo = described;
  const later = (more: PredictOptions = {}) => ({ ...options, ...more });
  return {
    url: base,
    info,
    examples: examples.length,
    predict: async (item, more) =>
      ask<Reply>(at("v1/predict"), await bodyOf(item, info, later(more)), later(more)),
    predictRows: async (rows, more) => {
      const { items } = await ask<{ items: Reply[] }>(at("v1/predict/batch"), json({ rows }), later(more));
      return items;
    },
    example: async (index) => {
      const found = await request(at(`v1/examples/${index}`), {}, options);
      return takesPictures(info) ? found.blob() : ((await found.json()) as Row);
    },
    close: () => undefined,
  };
}

function baseOf(url: URL): URL {
  const path = url.pathname.replace(/\/v1\/?$/, "/").replace(/\/?$/, "/");
  return new URL(path, url.origin);
}

async function ask<T>(url: URL, init: RequestInit, options: HttpOptions): Promise<T> {
  const response = await request(url, { method: "POST", ...init }, options);
  return (await response.json()) as T;
}

function json(content: unknown): RequestInit {
  const large = (_: string, value: unknown) =>
    typeof value === "bigint" ? { integer: String(value) } : value;
  return { body: JSON.stringify(content, large), headers: { "content-type": "application/json" } };
}

async function bodyOf(item: Item, info: ModelInfo, options: HttpOptions): Promise<RequestInit> {
  if (!takesPictures(info)) return json({ row: item });
  const form = new FormData();
  const file = await fileOf(item, options);
  form.set("file", file, "name" in file ? String(file.name) : "picture");
  return { body: form };
}

async function fileOf(item: Item, options: HttpOptions): Promise<Blob> {
  if (item instanceof Blob) return item;
  if (typeof item === "string" || item instanceof URL) {
    return (await request(new URL(item, globalThis.location?.href), {}, options)).blob();
  }
  if (typeof ImageBitmap !== "undefined" && item instanceof ImageBitmap) {
    const canvas = new OffscreenCanvas(item.width, item.height);
    canvas.getContext("2d")?.drawImage(item, 0, 0);
    return canvas.convertToBlob({ type: "image/png" }); // without loss: the same answer as on the device
  }
  throw new InputError(
    "this model takes pictures",
    "it was given something else",
    "Pass a file or its address.",
  );
}
