/** One question at a time: a newer one makes the answer to an older one irrelevant. */
import type { Item, Model, Reply } from "@wiggly/client";
import { useCallback, useRef, useState } from "preact/hooks";

export interface Asking {
  busy: boolean;
  reply: Reply | null;
  error: unknown;
  /** Milliseconds the answer took. */
  took: number;
  ask(item: Item): void;
  /** Shows an error that came before anything was asked. */
  fail(error: unknown): void;
  clear(): void;
}

type State = Pick<Asking, "busy" | "reply" | "error" | "took">;
const NOTHING: State = { busy: false, reply: null, error: null, took: 0 };

export function useAsking(model: Model): Asking {
  const [state, setState] = useState(NOTHING);
  const last = useRef<AbortController | null>(null);
  const clear = useCallback(() => {
    last.current?.abort();
    setState(NOTHING);
  }, []);
  const fail = useCallback((error: unknown) => {
    last.current?.abort();
    setState({ ...NOTHING, error });
  }, []);
  const ask = useCallback(
    (item: Item) => {
      last.current?.abort();
      const controller = new AbortController();
      last.current = controller;
      const started = performance.now();
      setState((now) => ({ ...now, busy: true, error: null }));
      model.predict(item, { signal: controller.signal }).then(
        (reply) => {
          if (last.current === controller) setState({ ...NOTHING, reply, took: performance.now() - started });
        },
        (error: unknown) => {
          if (last.current === controller && !controller.signal.aborted) setState({ ...NOTHING, error });
        },
      );
    },
    [model],
  );
  return { ...state, ask, fail, clear };
}
