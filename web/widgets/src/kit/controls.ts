// Sliders, buttons, choices.
import { h, short } from "./dom.ts";

export interface SliderOptions {
  label: string;
  min: number;
  max: number;
  step: number;
  value: number;
  log?: boolean; // the knob moves by factors: `step` is then a part of a decade
  format?: (value: number) => string;
  change: (value: number) => void;
}

export interface Slider {
  element: HTMLLabelElement;
  set(value: number): void;
}

/** A labelled slider with its value beside it. */
export function slider(options: SliderOptions): Slider {
  const format = options.format ?? short;
  const out = options.log ? (knob: number) => 10 ** knob : (knob: number) => knob;
  const into = options.log ? Math.log10 : (value: number) => value;
  const output = h("output", {}, format(options.value));
  const input = h("input", {
    type: "range",
    min: into(options.min),
    max: into(options.max),
    step: options.step,
    value: into(options.value),
    "aria-label": options.label,
    input: () => {
      const value = out(Number(input.value));
      output.textContent = format(value);
      input.setAttribute("aria-valuetext", format(value));
      options.change(value);
    },
  });
  input.value = String(into(options.value));
  const element = h("label", { class: "slider" }, h("span", {}, options.label), output, input);
  return {
    element,
    set(value) {
      input.value = String(into(value));
      output.textContent = format(value);
    },
  };
}

/** A button. */
export function button(
  label: string,
  click: () => void,
  options: { primary?: boolean; title?: string } = {},
) {
  return h(
    "button",
    { type: "button", class: options.primary ? "primary" : null, title: options.title, click },
    label,
  );
}

export interface Choice<T extends string> {
  element: HTMLElement;
  set(value: T): void;
}

/** One of several, as buttons in a row: a radio group to keyboards and screen readers. */
export function choice<T extends string>(
  label: string,
  options: [T, string][],
  value: T,
  change: (value: T) => void,
): Choice<T> {
  const buttons = options.map(([key, name]) =>
    h("button", { type: "button", role: "radio", "data-value": key, click: () => pick(key) }, name),
  );
  const group = h("div", { class: "row", role: "radiogroup", "aria-label": label }, ...buttons);
  group.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    const at = buttons.indexOf(event.target as HTMLButtonElement);
    const next = buttons[(at + way + buttons.length) % buttons.length];
    pick(next.dataset.value as T);
    next.focus();
  });
  function set(now: T): void {
    for (const each of buttons) {
      const on = each.dataset.value === now;
      each.setAttribute("aria-checked", String(on));
      each.tabIndex = on ? 0 : -1;
    }
  }
  function pick(now: T): void {
    set(now);
    change(now);
  }
  set(value);
  if (!buttons.some((each) => each.tabIndex === 0) && buttons[0]) buttons[0].tabIndex = 0;
  return { element: h("div", { class: "choice" }, h("div", { class: "name" }, label), group), set };
}
