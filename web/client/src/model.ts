/** What every model can do, wherever it runs. */
import type { Manifest } from "./manifest.ts";
import type { Picture } from "./pictures/decode.ts";
import type { Reply } from "./replies.ts";
import type { Row } from "./tables.ts";

/** What can be asked about: a picture (or its address), or a row. */
export type Item = Picture | URL | string | Row;

/** What is known of a model, wherever it runs: the part of model.json that is for people and programs. */
export type ModelInfo = Pick<Manifest, "title" | "task" | "inputs" | "outputs"> & {
  [Key in "wiggly" | "created" | "description" | "licence" | "score" | "metrics"]?: Manifest[Key] | undefined;
};

/** How to ask once. */
export interface PredictOptions {
  signal?: AbortSignal;
}

/** A model that answers. */
export interface Model {
  readonly info: ModelInfo;
  /** Number of worked examples. */
  readonly examples: number;
  /** What the model says. */
  predict(item: Item, options?: PredictOptions): Promise<Reply>;
  /** The input of a worked example: a picture, or a row. */
  example(index: number): Promise<Blob | Row>;
  /** Gives back memory and threads. */
  close(): void;
}

/** Whether a model takes pictures. */
export function takesPictures(info: ModelInfo): boolean {
  return info.inputs[0]?.kind === "image";
}
