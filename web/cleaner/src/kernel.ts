// The kernel as the component's host: requests go out as messages, replies come back by their number.

/** The part of anywidget's model that is used. */
export interface Model {
  get(name: string): unknown;
  on(event: "msg:custom", handler: Handler): void;
  off?(event: "msg:custom", handler?: Handler): void;
  send?(content: unknown): void;
}

type Handler = (content: unknown, buffers?: readonly DataView[]) => void;

interface Reply {
  id: string;
  answer?: unknown;
  types?: string[];
}

interface Pending {
  done(reply: Reply, buffers: readonly DataView[]): void;
  since: number;
}

interface Wanted {
  position: number;
  size: number;
  resolve(url: string): void;
  reject(reason: Error): void;
}

const PATIENCE = 2500; // milliseconds without a reply, after which the page says that it waits
const AT_ONCE = 8; // pictures of one message; marks get their turn between two messages

/** Asks the kernel behind a widget. */
export class Kernel {
  readonly #model: Model;
  readonly #waits: (waiting: boolean) => void;
  readonly #prefix = Math.random().toString(36).slice(2); // a widget may be shown twice, and both hear all replies
  readonly #pending = new Map<string, Pending>();
  readonly #urls = new Map<string, Promise<string>>();
  readonly #made: string[] = [];
  #queue: Wanted[] = [];
  #count = 0;
  #timer: ReturnType<typeof setInterval>;
  #waiting = false;

  /** `waits` is called with true when no reply comes for a while, and with false when one has come. */
  constructor(model: Model, waits: (waiting: boolean) => void) {
    this.#model = model;
    this.#waits = waits;
    model.on("msg:custom", this.#hear);
    this.#timer = setInterval(() => this.#look(), PATIENCE / 5);
  }

  /** The answer to a request; it is pending as long as the kernel is busy. */
  ask(request: object): Promise<unknown> {
    return new Promise((resolve) => this.#send({ ask: request }, (reply) => resolve(reply.answer)));
  }

  /** An address of a picture's bytes; rejects where there is no picture. */
  pictureUrl(position: number, size: number): Promise<string> {
    const key = `${position}@${size}`;
    const known = this.#urls.get(key);
    if (known) return known;
    const url = new Promise<string>((resolve, reject) => {
      if (!this.#queue.length) queueMicrotask(() => this.#fetch());
      this.#queue.push({ position, size, resolve, reject });
    });
    this.#urls.set(key, url);
    url.catch(() => this.#urls.delete(key));
    return url;
  }

  /** Forgets everything. */
  stop(): void {
    clearInterval(this.#timer);
    this.#model.off?.("msg:custom", this.#hear);
    for (const url of this.#made) URL.revokeObjectURL(url);
    this.#pending.clear();
    this.#urls.clear();
  }

  #fetch(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const size of new Set(queue.map((wanted) => wanted.size))) {
      const same = queue.filter((wanted) => wanted.size === size);
      for (let start = 0; start < same.length; start += AT_ONCE)
        this.#fetchSome(same.slice(start, start + AT_ONCE), size);
    }
  }

  #fetchSome(some: Wanted[], size: number): void {
    const pictures = some.map((wanted) => wanted.position);
    this.#send({ pictures, size }, (reply, buffers) => {
      some.forEach((wanted, i) => {
        const type = reply.types?.[i];
        const bytes = buffers[i];
        if (!type || !bytes) return wanted.reject(new Error("there is no picture"));
        const url = URL.createObjectURL(new Blob([bytes as BlobPart], { type }));
        this.#made.push(url);
        wanted.resolve(url);
      });
    });
  }

  #send(content: object, done: Pending["done"]): void {
    const id = `${this.#prefix}-${this.#count++}`;
    const pending = { done, since: Date.now() };
    this.#pending.set(id, pending);
    try {
      this.#model.send?.({ id, ...content });
    } catch {
      pending.since = 0; // the channel is closed
      this.#look();
    }
  }

  #hear: Handler = (content, buffers = []) => {
    const reply = content as Reply;
    const pending = this.#pending.get(reply?.id);
    if (!pending) return;
    this.#pending.delete(reply.id);
    this.#look();
    pending.done(reply, buffers);
  };

  #look(): void {
    const now = Date.now();
    this.#tell([...this.#pending.values()].some((pending) => now - pending.since >= PATIENCE));
  }

  #tell(waiting: boolean): void {
    if (waiting === this.#waiting) return;
    this.#waiting = waiting;
    this.#waits(waiting);
  }
}
