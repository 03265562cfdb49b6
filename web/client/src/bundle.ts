/** A bundle from a file or a folder: nothing in it is code, and every file's hash is checked. */
import { unzip } from "fflate";
import { BundleError } from "./errors.ts";
import type { Manifest } from "./generated/manifest.ts";
import { bytesOf, request, type HttpOptions } from "./http.ts";
import { COPY, parseManifest } from "./manifest.ts";
import { sha256 } from "./sha256.ts";

/** Where a bundle is: the address of a file or of a folder (it ends in `/`), or the file itself. */
export type Source = string | URL | Blob | ArrayBuffer | Uint8Array;

/** Told while things arrive. */
export type OnBytes = (loaded: number, total: number) => void;

/** A bundle that was found. */
export interface Bundle {
  manifest: Manifest;
  /** SHA-256 of model.json. */
  sha: string;
  /** How errors call it. */
  name: string;
  /** A file of it, its hash checked. */
  file(name: string, onBytes?: OnBytes): Promise<Uint8Array<ArrayBuffer>>;
}

const MANIFEST = "model.json";
const MOST_WEIGHTS = 32e6;

/** The weights by themselves. */
export const WEIGHTS = "weights.safetensors";

/** Finds a bundle and reads its model.json. */
export async function openBundle(source: Source, options: HttpOptions, onBytes: OnBytes): Promise<Bundle> {
  if (typeof source !== "string" && !(source instanceof URL)) {
    const bytes = source instanceof Blob ? await source.arrayBuffer() : source;
    return zipped(new Uint8Array(bytes as ArrayBuffer), "the bundle");
  }
  const url = new URL(source, globalThis.location?.href);
  if (url.pathname.endsWith(`/${MANIFEST}`)) return folder(new URL(".", url), options);
  if (url.pathname.endsWith("/")) return folder(url, options);
  const response = await request(url, {}, options);
  return zipped(await bytesOf(response, onBytes), `'${url.pathname.split("/").at(-1)}'`);
}

async function folder(url: URL, options: HttpOptions): Promise<Bundle> {
  const name = `'${url.pathname}'`;
  const get = async (file: string, onBytes: OnBytes) => {
    const address = new URL(file.split("/").map(encodeURIComponent).join("/"), url);
    return bytesOf(await request(address, {}, options), onBytes);
  };
  const silent = () => undefined;
  return described(await get(MANIFEST, silent), await get(`${MANIFEST}.sha256`, silent), name, get);
}

async function zipped(bytes: Uint8Array, name: string): Promise<Bundle> {
  const files = await unpacked(bytes, name);
  const get = (file: string) => {
    const content = files[file];
    if (content) return Promise.resolve(content as Uint8Array<ArrayBuffer>);
    return Promise.reject(new BundleError(`${name} must be a wiggly bundle`, `it has no ${file}`, COPY));
  };
  return described(await get(MANIFEST), await get(`${MANIFEST}.sha256`), name, get);
}

function unpacked(bytes: Uint8Array, name: string): Promise<Record<string, Uint8Array>> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: unknown) => {
      const found =
        bytes[0] === 0x50 && bytes[1] === 0x4b ? "it is cut short or damaged" : "it is another file";
      reject(new BundleError(`${name} must be a wiggly bundle`, found, COPY, { cause }));
    };
    // The graph has its own copy of the weights; those of recommenders, which `nearest` reads, are small.
    const filter = (file: { name: string; originalSize: number }) => {
      return file.name !== WEIGHTS || file.originalSize < MOST_WEIGHTS;
    };
    try {
      unzip(bytes, { filter }, (error, files) => (error ? refuse(error) : resolve(files)));
    } catch (error) {
      refuse(error);
    }
  });
}

type Get = (name: string, onBytes: OnBytes) => Promise<Uint8Array<ArrayBuffer>>;

async function described(
  text: Uint8Array<ArrayBuffer>,
  proof: Uint8Array,
  name: string,
  get: Get,
): Promise<Bundle> {
  const decoder = new TextDecoder();
  const sha = await sha256(text);
  if (decoder.decode(proof).split(/\s/)[0] !== sha) throw changed(name, MANIFEST);
  const manifest = parseManifest(decoder.decode(text), name);
  const file = async (wanted: string, onBytes: OnBytes = () => undefined) => {
    const entry = manifest.files[wanted];
    if (!entry) throw new BundleError(`${name} must have the file '${wanted}'`, "it is not listed", COPY);
    const content = await get(wanted, (loaded) => onBytes(loaded, entry.bytes));
    if (content.length !== entry.bytes || (await sha256(content)) !== entry.sha256)
      throw changed(name, wanted);
    return content;
  };
  return { manifest, sha, name, file };
}

function changed(name: string, file: string): BundleError {
  return new BundleError(
    `every file of ${name} must be as it was written`,
    `'${file}' was changed or cut short: its SHA-256 is not the recorded one`,
    COPY,
  );
}
