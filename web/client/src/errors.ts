/** What can go wrong. Each error says the rule, what was received, and what to do about it. */

/** The base of every error of this package. */
export class WigglyError extends Error {
  override readonly name: string = "WigglyError";
  /** What must hold. */
  readonly rule: string;
  /** What was found instead. */
  readonly received: string;
  /** What to do. */
  readonly fix: string;

  constructor(rule: string, received: string, fix: string, options?: ErrorOptions) {
    super(`${rule}; ${received}.\n${fix}`, options);
    this.rule = rule;
    this.received = received;
    this.fix = fix;
  }
}

/** The other side could not be reached. */
export class NetworkError extends WigglyError {
  override readonly name = "NetworkError";
}

/** No answer came in time. */
export class TimeoutError extends WigglyError {
  override readonly name = "TimeoutError";
}

/** The server answered, and refused. */
export class ServerError extends WigglyError {
  override readonly name = "ServerError";
  /** HTTP status. */
  readonly status: number;
  /** The server's own code, for example "not_an_image". */
  readonly code: string;

  constructor(
    status: number,
    code: string,
    rule: string,
    received: string,
    fix: string,
    options?: ErrorOptions,
  ) {
    super(rule, received, fix, options);
    this.status = status;
    this.code = code;
  }
}

/** An input that the model cannot take: no picture, no such row. */
export class InputError extends WigglyError {
  override readonly name = "InputError";
}

/** A bundle that is damaged, changed, of a newer version, or not one at all. */
export class BundleError extends WigglyError {
  override readonly name = "BundleError";
}

/** This device or browser cannot do it. */
export class DeviceError extends WigglyError {
  override readonly name = "DeviceError";
}

const KINDS = { WigglyError, NetworkError, TimeoutError, InputError, BundleError, DeviceError };

/** An error as data that a worker can post. */
export interface PostedError {
  name: string;
  message: string;
  parts?: [rule: string, received: string, fix: string];
}

/** For the way out of a worker. */
export function packError(error: unknown): PostedError {
  const known = error instanceof Error ? error : new Error(String(error));
  const parts =
    known instanceof WigglyError ? { parts: [known.rule, known.received, known.fix] as const } : {};
  return { name: known.name, message: known.message, ...parts } as PostedError;
}

/** On the other side. */
export function unpackError(posted: PostedError): Error {
  if (posted.name === "AbortError") return new DOMException(posted.message, "AbortError");
  if (!posted.parts) return Object.assign(new Error(posted.message), { name: posted.name });
  const Kind = KINDS[posted.name as keyof typeof KINDS] ?? WigglyError;
  return new Kind(...posted.parts);
}
