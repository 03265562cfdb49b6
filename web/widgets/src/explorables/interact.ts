// A user's own function with a control for each argument: states computed beforehand, and live ones while a kernel runs.
import { type Control, nearest, type State, type Value } from "../core/nearest.ts";
import { slider } from "../kit/controls.ts";
import { h, nice } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home, type Model } from "../kit/host.ts";

interface Item {
  type: string;
  data: string;
}
interface Data {
  code?: Code | null;
  id: string;
  title: string;
  idea: string;
  controls: Control[];
  states: State[];
  outputs: Item[][];
}
interface Message {
  wiggly: string;
  values: Value[];
  items?: Item[];
}

const PATIENCE = 4000; // milliseconds after which a kernel that does not answer is taken to be gone

function build({ frame, data, report }: Home<Data>) {
  const { controls, states, outputs } = data;
  const values = controls.map((control) => control.value);
  const output = h("div", { class: "output", "aria-live": "polite" });
  const status = h("div", { class: "small", "data-part": "status" });
  let live = false;
  let timer = 0;
  frame.root.querySelector("h2")!.textContent = data.title;
  frame.root.querySelector(".idea")!.textContent = data.idea;
  frame.stage.append(output, status);
  frame.side.append(...controls.map((control, i) => element(control, i)));

  function element(control: Control, i: number): HTMLElement {
    const change = (value: Value) => {
      values[i] = value;
      show();
    };
    if (control.kind === "slider")
      return slider({
        label: control.name,
        min: control.min!,
        max: control.max!,
        step: control.step!,
        value: Number(control.value),
        format: (value) => (control.whole ? String(value) : nice(value)),
        change,
      }).element;
    if (control.kind === "check") {
      const box = h("input", { type: "checkbox", change: () => change(box.checked) });
      box.checked = Boolean(control.value);
      return h("label", { class: "check" }, box, control.name);
    }
    if (control.kind === "text") {
      const text = h("input", {
        type: "text",
        value: String(control.value),
        input: () => change(text.value),
      });
      return h("label", {}, control.name, text);
    }
    const options = control.options!.map((name, k) => h("option", { value: k }, name));
    const select = h("select", { change: () => change(Number(select.value)) }, ...options);
    select.value = String(control.value);
    return h("label", {}, control.name, select);
  }

  function show(): void {
    const { state, exact } = nearest(controls, states, values);
    put(outputs[state.output]);
    report({ values: [...values], shown: state.values, exact, live: false });
    if (exact) return settle("");
    const far = controls
      .map((control, i) => [control, i] as const)
      .filter(([, i]) => state.values[i] !== values[i])
      .map(([control, i]) => `${control.name} = ${said(control, state.values[i])}`);
    const note = `Without a kernel: the nearest of ${states.length} states computed beforehand, ${far.join(", ")}.`;
    if (window.parent === window) return settle(note);
    output.setAttribute("aria-busy", String(live));
    status.textContent = live ? "Computing …" : note;
    window.parent.postMessage({ wiggly: data.id, values: [...values] } satisfies Message, "*");
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      live = false;
      settle(note);
    }, PATIENCE);
  }
  function settle(note: string): void {
    clearTimeout(timer);
    output.removeAttribute("aria-busy");
    status.textContent = note;
  }
  function said(control: Control, value: Value): string {
    if (control.kind === "choice") return control.options![Number(value)];
    return typeof value === "number" && !control.whole ? nice(value) : String(value);
  }

  function put(items: Item[]): void {
    output.replaceChildren(
      ...items.map(({ type, data: content }) => {
        if (type === "image/png") return h("img", { src: `data:image/png;base64,${content}`, alt: "" });
        if (type !== "text/html") return h("pre", { class: type === "error" ? "error" : null }, content);
        const box = h("div");
        box.innerHTML = content;
        return box;
      }),
    );
  }

  const hear = (event: MessageEvent<Message>) => {
    const { wiggly, items, values: asked } = event.data ?? {};
    if (wiggly !== data.id || !items || JSON.stringify(asked) !== JSON.stringify(values)) return;
    live = true;
    put(items);
    settle("");
    report({ values: [...values], shown: asked, exact: true, live: true });
  };
  window.addEventListener("message", hear);
  show();
  return { redraw: () => undefined, stop: () => window.removeEventListener("message", hear) };
}

explorable<Data>({ name: "interact", title: "", idea: "", keys: [] }, build);

/** In a notebook: stands beside the frame, takes its questions to the kernel and the answers back. */
function render({ model, el }: { model: Model; el: HTMLElement }) {
  const { id } = model.get("data") as { id: string };
  let asking: Window | null = null;
  const hear = (event: MessageEvent<Message>) => {
    if (event.data?.wiggly !== id || event.data.items) return;
    asking = event.source as Window;
    model.set("state", { values: event.data.values });
    model.save_changes();
  };
  const answer = () => asking?.postMessage({ wiggly: id, ...(model.get("live") as object) }, "*");
  window.addEventListener("message", hear);
  model.on("change:live", answer);
  el.style.display = "none";
  return () => {
    window.removeEventListener("message", hear);
    model.off?.("change:live", answer);
  };
}

export default { render };
