// Every numeric twin, for the tests that run both languages on the same inputs.
export * as convolution from "./convolution.ts";
export * as crops from "./crops.ts";
export * as descent from "./descent.ts";
export * as fsrs from "./fsrs.ts";
export * as gpus from "./gpus.ts";
export * as nearest from "./nearest.ts";
export * as network from "./network.ts";
export * as products from "./products.ts";
export * as quadratic from "./quadratic.ts";
export * as quiz from "./quiz.ts";
export * as rates from "./rates.ts";
export * as relus from "./relus.ts";
export * as softmax from "./softmax.ts";
export * as step from "./step.ts";
export * as twister from "./twister.ts";
