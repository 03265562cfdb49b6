/** model.json: what the model takes, what it says, its files. */
import { BundleError } from "./errors.ts";
import type { FoundBox, Manifest, Score } from "./generated/manifest.ts";

export type { FoundBox, Manifest, Score };

/** What goes in. */
export type Input = Manifest["inputs"][number];

/** What comes out. */
export type Output = Manifest["outputs"][number];

/** An input and what the model must answer. */
export type Example = NonNullable<Manifest["examples"]>[number];

/** A graph of the bundle. */
export type Graph = NonNullable<Manifest["graphs"]>[number];

/** The newest version of the format that can be read. */
export const VERSION = 4;

/** Reads a model.json; the hash beside it has been checked. */
export function parseManifest(text: string, name: string): Manifest {
  const found = parsed(text, name);
  if (found?.format !== "wiggly-bundle" || typeof found.version !== "number") {
    throw new BundleError(`${name} must be a wiggly bundle`, "its model.json is of something else", COPY);
  }
  if (found.version > VERSION) {
    throw new BundleError(
      `${name} must be of format version ${VERSION} or older`,
      `it is of version ${found.version}`,
      "Update @wiggly/client.",
    );
  }
  return found as Manifest;
}

function parsed(text: string, name: string): Partial<Manifest> | null {
  try {
    return JSON.parse(text) as Partial<Manifest> | null;
  } catch (cause) {
    throw new BundleError(`the model.json of ${name} must be JSON`, "it is not", COPY, { cause });
  }
}

/** What to do about a damaged bundle. */
export const COPY = "Get a complete, unchanged copy of the bundle, or export the model again.";

/**
 * The graph to run.
 *
 * @param precision - The one that is wanted; the first where there is no such.
 */
export function graphOf(manifest: Manifest, name: string, precision = "float32"): Graph {
  const graphs = manifest.graphs ?? [];
  const graph = graphs.find((one) => one.precision === precision) ?? graphs[0];
  if (graph) return graph;
  throw new BundleError(
    `${name} must have a graph to run on this device`,
    manifest.no_graph ?? "it has none",
    "Export it again with `wiggly[export]` installed, or ask a server (`wiggly serve`).",
  );
}
