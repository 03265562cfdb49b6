/** fetch with time-outs, retries for what is just starting, and errors that say what happened. */
import { NetworkError, ServerError, TimeoutError } from "./errors.ts";

/** How to ask. */
export interface HttpOptions {
  /** Milliseconds until one attempt is given up; 60,000 if not said. */
  timeout?: number;
  /** How often to try again while the other side starts, or cannot be reached; 5 if not said. */
  retries?: number;
  /** Milliseconds before the first retry; each further one waits twice as long. 1,000 if not said. */
  backoff?: number;
  /** Sent with every request, for example an Authorization. */
  headers?: Record<string, string>;
  /** Gives up. */
  signal?: AbortSignal;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
  /** Called before each wait, with the milliseconds it will take. */
  onWaiting?: (milliseconds: number, attempt: number) => void;
}

/** Answers that say: not yet. */
const STARTING = new Set([429, 502, 503, 504]);
const LONGEST_WAIT = 30_000;

/**
 * A response whose status is a success.
 *
 * @param url - What to ask for.
 * @param init - As for `fetch`; its body must be one that can be sent again.
 * @param options - How to ask.
 */
export async function request(url: URL, init: RequestInit, options: HttpOptions): Promise<Response> {
  const { retries = 5, backoff = 1000 } = options;
  for (let attempt = 0; ; attempt++) {
    options.signal?.throwIfAborted();
    let wait = Math.min(LONGEST_WAIT, backoff * 2 ** attempt);
    try {
      const response = await once(url, init, options);
      if (response.ok) return response;
      if (!STARTING.has(response.status) || attempt >= retries) throw await refusal(response, url);
      wait = retryAfter(response) ?? wait;
    } catch (error) {
      if (!(error instanceof NetworkError) || attempt >= retries) throw error;
    }
    options.onWaiting?.(wait, attempt + 1);
    await pause(wait, options.signal);
  }
}

async function once(url: URL, init: RequestInit, options: HttpOptions): Promise<Response> {
  const { timeout = 60_000, signal } = options;
  const clock = AbortSignal.timeout(timeout);
  const headers = { ...options.headers, ...(init.headers as Record<string, string> | undefined) };
  try {
    const both = signal ? AbortSignal.any([signal, clock]) : clock;
    return await (options.fetch ?? fetch)(url, { ...init, headers, signal: both });
  } catch (cause) {
    signal?.throwIfAborted();
    if (clock.aborted) {
      const said = `${url.origin} has said nothing for ${timeout / 1000} s`;
      throw new TimeoutError("a server must answer in time", said, "Try again, or pass a longer timeout.", {
        cause,
      });
    }
    throw new NetworkError(
      "the server must be reachable",
      `${url.origin} is not`,
      "Check the address, the connection, and whether the server allows this page (--cors).",
      { cause },
    );
  }
}

/** What a server's refusal says; a /v1 server gives three parts, others a status. */
async function refusal(response: Response, url: URL): Promise<ServerError> {
  const { status } = response;
  const text = await response.text().catch(() => "");
  const said = partsOf(text);
  if (said) return new ServerError(status, said.code, said.rule, said.received, said.fix);
  const sleeping = STARTING.has(status);
  return new ServerError(
    status,
    sleeping ? "starting" : "http",
    "the server must answer",
    `${url.origin}${url.pathname} says ${status} ${response.statusText}`.trim(),
    sleeping ? "It may still be starting: try again in a minute." : "Check the address.",
  );
}

function partsOf(text: string): Record<"code" | "rule" | "received" | "fix", string> | null {
  try {
    const { error } = JSON.parse(text) as { error?: Record<string, unknown> };
    if (typeof error?.["rule"] !== "string") return null;
    const part = (name: string) => String(error[name] ?? "");
    return { code: part("code"), rule: part("rule"), received: part("received"), fix: part("fix") };
  } catch {
    return null;
  }
}

function retryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  return seconds >= 0 ? Math.min(LONGEST_WAIT, 1000 * seconds) : null;
}

/** Waits; an abort ends it. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * The body of a response, told as it arrives.
 *
 * @param response - Whose body.
 * @param onBytes - Called with the bytes so far, and all there will be (0 if unknown).
 */
export async function bytesOf(
  response: Response,
  onBytes: (loaded: number, total: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const encoded = response.headers.get("content-encoding");
  const total = encoded ? 0 : Number(response.headers.get("content-length") ?? 0);
  if (!response.body) return new Uint8Array(await response.arrayBuffer());
  const parts: Uint8Array[] = [];
  let loaded = 0;
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    loaded += value.length;
    onBytes(loaded, total);
  }
  const whole = new Uint8Array(loaded);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
