/** A model on this device: bundle, runtime and answers in a row. Runs in a worker, or in whatever calls it. */
import type { InferenceSession } from "onnxruntime-web/wasm";
import { answersOf, type Named, type Seen } from "./answers.ts";
import { openBundle, WEIGHTS, type Bundle, type Source } from "./bundle.ts";
import { BundleError, DeviceError, InputError } from "./errors.ts";
import { request, type HttpOptions } from "./http.ts";
import { withoutIf } from "./inlined.ts";
import { graphOf, type Example, type Manifest } from "./manifest.ts";
import type { Item } from "./model.ts";
import { Factors, type Near } from "./nearest.ts";
import { decode, type Picture } from "./pictures/decode.ts";
import { place } from "./pictures/geometry.ts";
import { resample } from "./pictures/resample.ts";
import type { Label, Reply } from "./replies.ts";
import { backends, start, threadsFor, type Backend, type Ort, type RuntimeFiles } from "./runtime.ts";
import { TableEncoder, type Row } from "./tables.ts";
import { allowed, compare, LOSSY, type Verified } from "./verify.ts";

/** What is being fetched or done. */
export interface Progress {
  phase: "model" | "runtime" | "start";
  /** Bytes so far, and all there will be; 0 if unknown. */
  loaded: number;
  total: number;
}

/** What can be posted to a worker. */
export interface EngineSettings {
  /** "auto" takes WebGPU for pictures where there is one that computes right, else WebAssembly. */
  backend?: Backend | "auto";
  /** Threads of WebAssembly; more than one only where the page is isolated from other sites. */
  threads?: number;
  /** Which graph, if there are several: "float32" if not said. */
  precision?: "float32" | "float16" | "int8";
  /** Where the runtime's WebAssembly is. */
  runtime?: RuntimeFiles;
}

type Feeds = InferenceSession.FeedsType;

/** A model that is ready. */
export class Engine {
  /** Where it runs. */
  backend: Backend = "wasm";
  /** How many threads it runs on. */
  threads = 1;
  readonly #bundle: Bundle;
  readonly #encoder: TableEncoder | null;
  #ort!: Ort;
  #session!: InferenceSession;
  #factors: Promise<Factors> | null = null;
  #last: Promise<unknown> = Promise.resolve(); // one run at a time: the runtime allows no more

  private constructor(bundle: Bundle) {
    this.#bundle = bundle;
    const input = bundle.manifest.inputs[0]!;
    this.#encoder = input.kind === "image" ? null : new TableEncoder(input);
  }

  /** Reads a bundle and starts the runtime. */
  static async open(
    source: Source,
    settings: EngineSettings,
    http: HttpOptions,
    onProgress: (progress: Progress) => void,
  ): Promise<Engine> {
    const told = (phase: Progress["phase"]) => (loaded: number, total: number) => {
      onProgress({ phase, loaded, total });
    };
    const bundle = await openBundle(source, http, told("model"));
    const engine = new Engine(bundle);
    const graph = graphOf(bundle.manifest, bundle.name, settings.precision);
    const content = await bundle.file(graph.file, told("model"));
    const pictures = bundle.manifest.inputs[0]!.kind === "image";
    const order = await backends(pictures ? (settings.backend ?? "auto") : "wasm");
    for (const backend of order) {
      const last = backend === order.at(-1);
      try {
        engine.threads = threadsFor(settings.threads);
        engine.#ort = await start(backend, settings.runtime ?? {}, engine.threads, http, told("runtime"));
        onProgress({ phase: "start", loaded: 0, total: 0 });
        await engine.#start(content, backend);
        if (last || (await engine.#computesRight())) return engine;
      } catch (error) {
        if (last || http.signal?.aborted) throw error;
      }
    }
    throw new DeviceError("a model needs a backend", "there is none", "Use another browser.");
  }

  async #start(graph: Uint8Array, backend: Backend): Promise<void> {
    this.backend = backend;
    try {
      const runnable = backend === "webgpu" ? withoutIf(graph) : graph;
      this.#session = await this.#ort.InferenceSession.create(runnable, {
        executionProviders: [backend],
        logSeverityLevel: 3,
      });
    } catch (cause) {
      const received = cause instanceof Error ? cause.message : String(cause);
      const fix = "Reload the page; if it stays so, export the model again.";
      throw new BundleError("the graph must be one that ONNX Runtime Web can run", received, fix, { cause });
    }
  }

  /** Some graphics drivers compute wrong: the first worked example tells. */
  async #computesRight(): Promise<boolean> {
    const { ok } = await this.verify(LOSSY, 1);
    return ok;
  }

  get manifest(): Manifest {
    return this.#bundle.manifest;
  }

  /** What the model says of an item. */
  async predict(item: Item, http: HttpOptions = {}): Promise<Reply> {
    const prepared = await this.#prepare(item, http);
    http.signal?.throwIfAborted();
    const run = this.#last.then(() => this.#session.run(prepared.feeds));
    this.#last = run.catch(() => undefined);
    const found = (await run) as unknown as Record<string, Named>;
    return { answers: answersOf(this.manifest.outputs, found, prepared.seen), model: this.#bundle.sha };
  }

  async #prepare(item: Item, http: HttpOptions): Promise<{ feeds: Feeds; seen: Seen | null }> {
    const input = this.manifest.inputs[0]!;
    if (input.kind !== "image") return { feeds: this.#rowFeeds(item as Row), seen: null };
    const picture = await pictureOf(item, http);
    const source = await decode(picture, input.channels);
    const placement = place(input.preprocessing, source.height, source.width);
    const { width, height } = source;
    const made = resample(source, placement);
    const { Tensor } = this.#ort;
    const image = new Tensor("uint8", made.data as Uint8Array, [1, made.height, made.width, made.channels]);
    return { feeds: { image }, seen: { width, height, placement } };
  }

  #rowFeeds(row: Row): Feeds {
    if (typeof row !== "object" || row instanceof Blob) {
      throw new InputError(
        "this model takes rows",
        "it was given something else",
        'Pass { "column": value, … }.',
      );
    }
    const { categories, numbers } = this.#encoder!.encode(row);
    const { Tensor } = this.#ort;
    const all: Feeds = {
      categories: new Tensor("int64", categories, [1, categories.length]),
      pairs: new Tensor("int64", categories, [1, categories.length]),
      numbers: new Tensor("float32", numbers, [1, numbers.length]),
    };
    return Object.fromEntries(this.#session.inputNames.map((name) => [name, all[name]!]));
  }

  /** The input of a worked example. */
  async example(index: number): Promise<Blob | Row> {
    const example = this.manifest.examples?.[index];
    if (!example) {
      const fix = `There are ${this.manifest.examples?.length ?? 0}.`;
      throw new InputError("an example must be one of the bundle", `there is no number ${index}`, fix);
    }
    const bytes = await this.#bundle.file(example.file);
    if (this.#encoder) return JSON.parse(new TextDecoder().decode(bytes)) as Row;
    const type = /\.jpe?g$/i.test(example.file) ? "image/jpeg" : "image/png";
    return new Blob([bytes], { type });
  }

  /** Runs the worked examples and compares. */
  async verify(tolerance?: number, most = Infinity): Promise<Verified> {
    const examples = (this.manifest.examples ?? []).slice(0, most);
    const checked = [];
    for (const [i, example] of examples.entries()) {
      const reply = await this.predict((await this.example(i)) as Item);
      checked.push(compare(this.manifest, example, reply, await this.#masks(example, reply)));
    }
    const limits = examples.map((example) => tolerance ?? allowed(example, this.manifest.outputs));
    return {
      ok: checked.every(({ difference, same }, i) => same && difference <= limits[i]!),
      difference: Math.max(0, ...checked.map(({ difference }) => difference)),
      examples: checked,
    };
  }

  async #masks(example: Example, reply: Reply): Promise<[ArrayLike<number>, ArrayLike<number>] | null> {
    const answer = reply.answers[0]!;
    if (!("mask" in example) || answer.kind !== "mask") return null;
    const png = Uint8Array.from(atob(answer.png), (letter) => letter.charCodeAt(0));
    const read = async (bytes: Uint8Array<ArrayBuffer>) => (await decode(new Blob([bytes]), 1)).data;
    return [await read(await this.#bundle.file(example.mask)), await read(png)];
  }

  /** What people liked who liked these; for recommenders. */
  async nearest(chosen: readonly Label[], n: number, least: number): Promise<Near[]> {
    return (await this.#allFactors()).nearest(chosen, n, least);
  }

  /** How often each item was rated in training. */
  async ratings(): Promise<number[]> {
    return (await this.#allFactors()).counts;
  }

  #allFactors(): Promise<Factors> {
    const input = this.manifest.inputs[0]!;
    if (input.kind !== "pairs") {
      const fix = "Use `predict`.";
      return Promise.reject(new InputError("`nearest` is for recommenders", `this takes ${input.kind}`, fix));
    }
    this.#factors ??= this.#bundle
      .file(WEIGHTS)
      .then((bytes) => new Factors(bytes, input.item.vocab as Label[]));
    return this.#factors;
  }

  /** Gives the runtime's memory back. */
  async release(): Promise<void> {
    await this.#last;
    await this.#session.release();
  }
}

async function pictureOf(item: Item, http: HttpOptions): Promise<Picture> {
  if (typeof item === "string" || item instanceof URL) {
    const response = await request(new URL(item, globalThis.location?.href), {}, http);
    return response.blob();
  }
  const bitmap = typeof ImageBitmap !== "undefined" && item instanceof ImageBitmap;
  if (item instanceof Blob || bitmap || ("data" in item && "channels" in item)) return item as Picture;
  throw new InputError(
    "this model takes pictures",
    "it was given something else",
    "Pass a file, its address, an ImageBitmap or pixels.",
  );
}
