// The frame around every explorable: title, stage, controls, what to notice, keys, the code behind it.
import { h } from "./dom.ts";

/** The Python function that computes what is shown. */
export interface Code {
  name: string;
  source: string;
}

interface Head {
  title: string;
  idea: string;
  keys: [string, string][];
}

export class Frame {
  readonly root: HTMLElement;
  readonly stage: HTMLElement;
  readonly side: HTMLElement;
  readonly under: HTMLElement; // more to read, below the picture; last on a phone
  private readonly said: HTMLElement;

  constructor(root: HTMLElement, head: Head, code: Code | null) {
    this.root = root;
    this.stage = h("div", { class: "stage" });
    this.side = h("div", { class: "side" });
    this.under = h("div", { class: "under" });
    this.said = h("span", { "aria-live": "polite" });
    const keys = h("span", { class: "keys" });
    for (const [key, meaning] of head.keys) keys.append(h("kbd", {}, key), ` ${meaning}   `);
    root.append(
      h("h2", {}, head.title),
      h("p", { class: "idea" }, head.idea),
      h(
        "div",
        { class: "body" },
        this.stage,
        h("p", { class: "notice" }, h("b", {}, "What to notice"), this.said),
        this.side,
        this.under,
      ),
      h("div", { class: "foot" }, keys, code ? panel(code) : null),
    );
  }

  /** The sentence that says what there is to see now. */
  notice(text: string): void {
    if (this.said.textContent !== text) this.said.textContent = text;
  }

  /** Keys that work anywhere in the explorable but where something is typed or a slider has the arrows. */
  onKey(handlers: Record<string, () => void>): void {
    this.root.addEventListener("keydown", (event) => {
      const target = event.target as Element;
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const typed = target.matches("input, select, textarea, [contenteditable]");
      if (typed || (event.key === " " && target.matches("button, summary"))) return;
      const handler = handlers[event.key];
      if (!handler) return;
      event.preventDefault();
      event.stopPropagation(); // a notebook would take the key for itself
      handler();
    });
    this.root.tabIndex = -1;
    this.root.addEventListener("pointerdown", (event) => {
      if (event.defaultPrevented) return; // a knob was taken, and has the keys
      if (!(event.target as Element).closest("button, input, select, textarea, summary, [tabindex='0']"))
        this.root.focus({ preventScroll: true });
    });
  }
}

function panel(code: Code): HTMLElement {
  return h(
    "details",
    {},
    h("summary", {}, `The code: ${code.name}`),
    h("pre", { tabindex: 0 }, h("code", {}, code.source)),
  );
}
