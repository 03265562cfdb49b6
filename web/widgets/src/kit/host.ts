// One explorable in all its homes: anywidget's `render` in a notebook, `data-wiggly` elements in a plain page.
import { h } from "./dom.ts";
import { type Code, Frame } from "./frame.ts";
import { CSS, followTheme } from "./theme.ts";

/** The part of anywidget's model that we use. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, handler: (...values: never[]) => void): void;
  off?(event: string, handler?: (...values: never[]) => void): void;
  send?(content: unknown): void;
}

export interface Texts {
  name: string;
  title: string;
  idea: string;
  keys: [string, string][];
}

/** What an explorable is given: its frame, its data, and where to say what state it is in. */
export interface Home<Data> {
  frame: Frame;
  data: Data;
  report(state: object): void;
  model: Model | null;
}

/** Draws once; `redraw` is called when the theme or the width changes, `stop` when it leaves the page. */
export interface Drawn {
  redraw(): void;
  stop?(): void;
}

const SAVE_EVERY = 200; // milliseconds between two messages to the kernel

export interface Rooted extends HTMLElement {
  wigglyState?: object;
}

/** Makes the module's default export, and mounts every element of the page that asks for this explorable. */
export function explorable<Data extends { code?: Code | null }>(
  texts: Texts,
  build: (home: Home<Data>) => Drawn,
) {
  function start(el: HTMLElement, data: Data, model: Model | null): () => void {
    const root: Rooted = h("section", { class: "wx", "data-name": texts.name, "aria-label": texts.title });
    root.append(h("style", {}, CSS));
    el.append(root);
    const frame = new Frame(root, texts, data.code ?? null);
    let timer = 0;
    const report = (state: object) => {
      root.wigglyState = state;
      if (!model || timer) return;
      timer = window.setTimeout(() => {
        timer = 0;
        model.set("state", root.wigglyState);
        model.save_changes();
      }, SAVE_EVERY);
    };
    let drawn: Drawn | null = null;
    const stopTheme = followTheme(root, () => drawn?.redraw());
    drawn = build({ frame, data, report, model });
    const sizes = new ResizeObserver(() => drawn?.redraw());
    sizes.observe(frame.stage);
    return () => {
      clearTimeout(timer);
      sizes.disconnect();
      stopTheme();
      drawn?.stop?.();
      root.remove();
    };
  }

  function mount(el: HTMLElement): () => void {
    const holder = el.querySelector('script[type="application/json"]');
    const data = JSON.parse(holder?.textContent || "{}") as Data;
    el.dataset.mounted = "";
    return start(el, data, null);
  }

  for (const el of document.querySelectorAll<HTMLElement>(
    `[data-wiggly="${texts.name}"]:not([data-mounted])`,
  ))
    mount(el);
  const render = ({ model, el }: { model: Model; el: HTMLElement }) =>
    start(el, (model.get("data") ?? {}) as Data, model);
  return { render };
}
