// The part of a question that is answered: choices, an order to be made, or a line to type.
import type { Given, Question } from "../core/quiz.ts";
import { numberOf, shuffled } from "../core/quiz.ts";
import { h } from "./dom.ts";

export interface Answering {
  element: HTMLElement;
  /** What is answered now; null while it is no answer. */
  given(): Given | null;
  /** Shows what would have been right; nothing can be changed any more. */
  close(): void;
  /** Takes a key: a letter or a number chooses. */
  pick(place: number): void;
  focus(): void;
}

export const LETTERS = "abcdefg";

/** A text with `code` between backquotes. */
export function rich(text: string): (Node | string)[] {
  return text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));
}

export function answering(question: Question, changed: () => void, submit: () => void): Answering {
  if (question.kind === "choice" || question.kind === "several") return choosing(question, changed);
  return question.kind === "order" ? ordering(question, changed) : typing(question, changed, submit);
}

function choosing(question: Question, changed: () => void): Answering {
  const choices = question.choices ?? [];
  const right = new Set(question.right);
  const order = shuffled(choices.length, false, Math.random);
  const chosen = new Set<number>();
  const single = question.kind === "choice";
  let closed = false;
  const buttons = order.map((position, place) =>
    h(
      "button",
      {
        type: "button",
        role: single ? "radio" : "checkbox",
        class: "option",
        "data-position": position,
        click: () => pick(place),
      },
      h("span", { class: "letter", "aria-hidden": "true" }, LETTERS[place]),
      h("span", { class: "said" }, ...rich(choices[position])),
      h("span", { class: "mark" }),
    ),
  );
  const element = h(
    "div",
    { class: "options", role: single ? "radiogroup" : "group", "aria-label": "Choices" },
    ...buttons,
  );
  element.addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const at = buttons.indexOf(event.target as HTMLButtonElement);
    if (!way || at < 0) return;
    event.preventDefault();
    event.stopPropagation();
    buttons[(at + way + buttons.length) % buttons.length].focus();
  });
  function pick(place: number): void {
    if (closed || place >= order.length) return;
    const position = order[place];
    const had = chosen.has(position);
    if (single) chosen.clear();
    if (had && !single) chosen.delete(position);
    else chosen.add(position);
    show();
    buttons[place].focus({ preventScroll: true });
    changed();
  }
  function show(): void {
    buttons.forEach((button, place) => {
      button.setAttribute("aria-checked", String(chosen.has(order[place])));
    });
  }
  show();
  return {
    element,
    given: () => (chosen.size ? [...chosen].sort((a, b) => a - b) : null),
    close() {
      closed = true;
      buttons.forEach((button, place) => {
        const position = order[place];
        button.disabled = true;
        const fits = right.has(position) === chosen.has(position);
        if (right.has(position)) button.classList.add("right");
        else if (chosen.has(position)) button.classList.add("wrong");
        const mark = right.has(position) ? "✓" : chosen.has(position) ? "✗" : "";
        const word = right.has(position) ? "right" : "not right";
        button.lastElementChild!.replaceChildren(mark, mark ? h("span", { class: "unseen" }, word) : "");
        button.classList.toggle("missed", !fits && right.has(position));
      });
    },
    pick,
    focus: () => buttons[0]?.focus({ preventScroll: true }),
  };
}

function ordering(question: Question, changed: () => void): Answering {
  const items = question.items ?? [];
  let order = shuffled(items.length, true, Math.random);
  let closed = false;
  const element = h("ol", { class: "options order", "aria-label": "Put in order" });
  function move(place: number, by: number, from: "up" | "down"): void {
    const to = place + by;
    if (closed || to < 0 || to >= order.length) return;
    order = order.map((item, i) => (i === place ? order[to] : i === to ? order[place] : item));
    show();
    const row = element.children[to];
    const back = row.querySelector<HTMLButtonElement>(`button[data-way=${from}]`);
    (back?.disabled ? row.querySelector<HTMLButtonElement>("button:not(:disabled)") : back)?.focus();
    changed();
  }
  function show(): void {
    element.replaceChildren(
      ...order.map((item, place) => {
        const arrow = (way: "up" | "down", by: number, sign: string) => {
          const button = h(
            "button",
            {
              type: "button",
              "data-way": way,
              "aria-label": `${items[item]}: ${way}`,
              click: () => move(place, by, way),
            },
            sign,
          );
          button.disabled = closed || place + by < 0 || place + by >= order.length;
          return button;
        };
        const fits = closed ? (item === place ? " right" : " wrong") : "";
        return h(
          "li",
          { class: `option${fits}`, "data-position": item },
          h("span", { class: "letter", "aria-hidden": "true" }, String(place + 1)),
          h("span", { class: "said" }, ...rich(items[item])),
          closed
            ? h("span", { class: "mark" }, item === place ? "✓" : `→ ${item + 1}`)
            : h("span", { class: "arrows" }, arrow("up", -1, "↑"), arrow("down", 1, "↓")),
        );
      }),
    );
  }
  show();
  return {
    element,
    given: () => [...order],
    close() {
      closed = true;
      show();
    },
    pick: () => undefined,
    focus: () =>
      element.querySelector<HTMLButtonElement>("button:not(:disabled)")?.focus({ preventScroll: true }),
  };
}

function typing(question: Question, changed: () => void, submit: () => void): Answering {
  const numeric = question.kind === "number";
  const input = h("input", {
    type: "text",
    inputmode: numeric ? "decimal" : "text",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    "aria-label": numeric ? "A number" : "A word or a few",
    placeholder: numeric ? "a number, e.g. 0.25, 1/4" : "a word or a few",
    input: changed,
    keydown: (event: KeyboardEvent) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      event.stopPropagation(); // the same key would go on to the next question
      submit();
    },
  });
  const element = h("div", { class: "typed" }, input, question.unit ? h("span", {}, question.unit) : null);
  return {
    element,
    given() {
      const text = input.value.trim();
      if (!text) return null;
      return numeric && numberOf(text, question.unit) === null ? null : text;
    },
    close() {
      input.disabled = true;
    },
    pick: () => undefined,
    focus: () => input.focus({ preventScroll: true }),
  };
}
