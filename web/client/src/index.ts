/**
 * Ask a wiggly model from TypeScript: on a server (`connect`), in any Gradio Space (`connectGradio`), or on the
 * visitor's own device (`load`).
 */
export type { OnBytes, Source } from "./bundle.ts";
export { connect, type ConnectOptions, type RemoteModel } from "./connect.ts";
export type { Progress } from "./engine.ts";
export * from "./errors.ts";
export { connectGradio, type GradioApp, type GradioOptions } from "./gradio.ts";
export { load, type LoadOptions, type LocalModel } from "./load.ts";
export type { Example, FoundBox, Graph, Input, Manifest, Output, Score } from "./manifest.ts";
export { takesPictures, type Item, type Model, type ModelInfo, type PredictOptions } from "./model.ts";
export type { Near } from "./nearest.ts";
export type { Picture } from "./pictures/decode.ts";
export type { Pixels } from "./pictures/resample.ts";
export type * from "./replies.ts";
export type { Backend, RuntimeFiles } from "./runtime.ts";
export { secondsOf, type Cell, type Row } from "./tables.ts";
export type { Checked, Verified } from "./verify.ts";
