// Every numeric twin, for the tests that run both languages on the same inputs.
export * as descent from "./descent.ts";
export * as nearest from "./nearest.ts";
export * as products from "./products.ts";
export * as quadratic from "./quadratic.ts";
export * as relus from "./relus.ts";
