/** Where the model is: a file that runs in the visitor's browser, or a server that is asked. */
export const BUNDLE: string | null = "./model.wiggly";
export const ENDPOINT: string | null = null;
