// A quiz: questions asked one by one, again when they are about to be forgotten; answers stay in the browser or go to Python.
import { type Rating, recall } from "../core/fsrs.ts";
import { judge, plan, type Question, spokenWait } from "../core/quiz.ts";
import { type Answering, answering, LETTERS, rich } from "../kit/answering.ts";
import { button, choice } from "../kit/controls.ts";
import { h, s } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home, type Model } from "../kit/host.ts";
import { type Kept, Keeper, type PlainMemory } from "../kit/keep.ts";

interface Lesson {
  title: string;
  anchors: Record<string, string>;
}
interface Data {
  code?: Code | null;
  id: string;
  questions: Question[];
  lessons: Record<string, Lesson>;
  new: number;
  kept: boolean; // whether answers are remembered; those about a run are not
  memories?: Record<string, PlainMemory>; // what Python remembers, in a widget
}
interface Message {
  wiggly: string;
  hello?: boolean;
  answers?: Kept[];
  memories?: Record<string, PlainMemory>;
}

const CSS = `
.wx[data-name=quiz] .notice { display:none; } .wx .quiz { display:flex; flex-direction:column; gap:14px; min-width:0; }
.wx .quiz .where { font-size:13px; color:var(--soft); margin:0; } .wx .quiz .ask { font-size:1.15em; line-height:1.4; margin:0;
  font-weight:550; outline-offset:6px; overflow-wrap:anywhere; }
.wx code { font:0.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; background:var(--panel); border-radius:4px;
  padding:1px 4px; color:inherit; } .wx .option code { background:none; padding:0; }
.wx .quiz pre { margin:0; background:var(--panel); border-radius:8px; padding:12px; overflow:auto;
  font:13.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; color:var(--ink); }
.wx .options { display:flex; flex-direction:column; gap:8px; margin:0; padding:0; list-style:none; }
.wx .option { display:flex; gap:10px; align-items:center; text-align:left; width:100%; min-height:46px; padding:8px 12px;
  font-size:15px; border:1px solid var(--line); border-radius:8px; background:var(--panel); line-height:1.35; }
.wx button.option:disabled { opacity:1; color:inherit; } .wx .option .said { flex:1; min-width:0; overflow-wrap:anywhere; }
.wx .option .letter { font:600 13px ui-monospace,monospace; color:var(--soft); width:1.4em; flex:none; }
.wx button.option[aria-checked=true], .wx [role=radio].option[aria-checked=true] { border-color:var(--data);
  box-shadow:inset 0 0 0 1px var(--data); background:color-mix(in srgb,var(--data) 12%,var(--paper)); color:var(--ink); }
.wx .quiz .option.right { border-color:var(--good); box-shadow:inset 0 0 0 1px var(--good);
  background:color-mix(in srgb,var(--good) 12%,var(--paper)); color:var(--ink); }
.wx .quiz .option.wrong { border-color:var(--bad); box-shadow:inset 0 0 0 1px var(--bad);
  background:color-mix(in srgb,var(--bad) 10%,var(--paper)); color:var(--ink); }
.wx .option .mark { font-weight:700; white-space:nowrap; } .wx .option.right .mark { color:var(--good); }
.wx .option.wrong .mark { color:var(--bad); } .wx .arrows { display:flex; gap:6px; } .wx .arrows button { min-width:42px; }
.wx .typed { display:flex; gap:8px; align-items:center; max-width:360px; } .wx .typed input { font-size:16px; min-height:44px; }
.wx .verdict { border-left:4px solid var(--good); background:var(--panel); border-radius:0 8px 8px 0; padding:10px 14px; }
.wx .verdict.no { border-color:var(--bad); } .wx .verdict p { margin:4px 0 0; } .wx .verdict b { color:var(--good); }
.wx .verdict.no b { color:var(--bad); } .wx .verdict:empty { display:none; }
.wx .unseen { position:absolute; width:1px; height:1px; overflow:hidden; clip-path:inset(50%); }
.wx .go button.primary { min-height:44px; min-width:110px; } .wx .bar { display:block; width:100%; height:10px; }
.wx .numbers { display:grid; grid-template-columns:1fr auto; gap:4px 12px; font-size:14px; margin:0; }
.wx .numbers dd { margin:0; font-variant-numeric:tabular-nums; font-weight:600; text-align:right; }
`;

function build({ frame, data, report, model }: Home<Data>) {
  const inFrame = !model && window.parent !== window;
  const keeper = new Keeper(data.kept && !model);
  let live = Boolean(model);
  if (data.memories) keeper.take(data.memories);
  let lesson = 0; // 0: all
  let waiting: Question[] = [];
  let asked: { question: Question; right: boolean }[] = [];
  let again = new Set<string>();
  let part: Answering | null = null;
  let state: "asking" | "told" | "over" = "asking";
  let start = 0;
  const numbers = [...new Set(data.questions.map((question) => question.lesson))];
  const mine = () => data.questions.filter((question) => !lesson || question.lesson === lesson);

  // ---- what is there all the time
  const page = h("div", { class: "quiz" });
  const where = h("p", { class: "where" });
  const ask = h("p", { class: "ask", tabindex: -1 });
  const code = h("pre", { tabindex: 0 });
  const hold = h("div");
  const verdict = h("div", { class: "verdict", role: "status", "aria-live": "polite" });
  const go = h("div", { class: "row go" });
  page.append(where, ask, code, hold, verdict, go);
  frame.stage.append(h("style", {}, CSS), page);
  const check = button("Check", () => submit(), { primary: true, title: "Check the answer (enter)" });
  const next = button("Next", () => follow(), { primary: true, title: "Next question (enter)" });
  const skip = button("Skip", () => advance(), { title: "Another question, this one later" });
  const guessed = button("I guessed", () => rerate(1), { title: "Ask it again soon (g)" });
  const knew = button("Knew it at once", () => rerate(4), { title: "Ask it again much later (k)" });
  const bar = s("svg", { class: "bar", role: "img", preserveAspectRatio: "none", viewBox: "0 0 100 10" });
  const counts = h("dl", { class: "numbers" });
  const note = h("div", { class: "small", "data-part": "kept" });
  const tools = h("div", { class: "row" });
  frame.side.append(bar, h("div", { class: "box" }, counts));
  if (numbers.length > 1)
    frame.side.append(
      choice<string>(
        "Questions of",
        [["0", "All"], ...numbers.map((n): [string, string] => [String(n), `Lesson ${n}`])],
        "0",
        (value) => {
          lesson = Number(value);
          begin();
        },
      ).element,
    );
  frame.side.append(note, tools);

  // ---- one question after the other
  function begin(): void {
    keeper.load();
    waiting = plan(mine(), data.kept ? keeper.memories : {}, Date.now(), data.new);
    asked = [];
    again = new Set();
    show();
  }

  function show(focus = false): void {
    verdict.replaceChildren();
    verdict.classList.remove("no");
    const question = waiting[0];
    if (!question) return over();
    state = "asking";
    start = performance.now();
    const home = data.lessons[question.lesson];
    where.textContent = [
      home ? `Lesson ${question.lesson}: ${home.title}` : "Your own run",
      `question ${asked.length + 1} of ${asked.length + waiting.length}`,
      again.has(question.id) ? "once more" : "",
    ]
      .filter(Boolean)
      .join(" · ");
    ask.hidden = hold.hidden = false;
    ask.replaceChildren(...rich(question.question));
    code.hidden = !question.code;
    code.textContent = question.code;
    part = answering(question, () => update(), submit);
    hold.replaceChildren(part.element);
    check.disabled = part.given() === null;
    go.replaceChildren(check, skip, hint(question));
    if (focus) part.focus();
    tell();
  }

  function hint(question: Question): HTMLElement {
    const said = {
      choice: "",
      several: "Choose all that are right.",
      order: "First at the top.",
      number: "",
      text: "",
    };
    return h("span", { class: "small" }, said[question.kind]);
  }

  function update(): void {
    check.disabled = part?.given() === null;
  }

  function submit(): void {
    const question = waiting[0];
    const given = part?.given();
    if (state !== "asking" || !question || !part || given === null || given === undefined) return;
    const right = judge(question, given);
    state = "told";
    part.close();
    const token = crypto.getRandomValues(new Uint32Array(4)).join("-");
    const seconds = Math.round((performance.now() - start) / 100) / 10;
    const at = new Date().toISOString();
    keeper.add({ question: question.id, right, rating: right ? 3 : 1, given, at, seconds, token });
    send();
    explain(question, right);
    waiting.shift();
    if (!again.has(question.id)) {
      asked.push({ question, right });
      if (!right) {
        again.add(question.id);
        waiting.push(question);
      }
    }
    go.replaceChildren(next, ...(right && data.kept ? [guessed, knew] : []));
    next.textContent = waiting.length ? "Next" : "To the end";
    next.focus({ preventScroll: true });
    tell();
  }

  function explain(question: Question, right: boolean): void {
    const home = data.lessons[question.lesson]?.anchors[question.anchor];
    const answer = solution(question);
    verdict.classList.toggle("no", !right);
    verdict.replaceChildren(
      h("b", {}, right ? "Right." : "Not quite."),
      right || !answer ? "" : h("p", {}, "The answer: ", h("strong", {}, ...rich(answer))),
      h("p", {}, ...rich(question.why)),
      h(
        "p",
        { class: "small", "data-part": "again" },
        due(question),
        home ? ` Read more under “${home}”.` : "",
      ),
    );
  }

  function due(question: Question): string {
    const memory = keeper.memories[question.id];
    return data.kept && memory
      ? `Asked again ${spokenWait(memory.due - Date.parse(keeper.session.at(-1)!.at))}.`
      : "";
  }

  /** The right answer in words, where it is not marked among what was shown. */
  function solution(question: Question): string {
    if (question.kind === "number") {
      const plain = String(Number((question.answer ?? NaN).toPrecision(6)));
      return [plain.replace("-", "−"), question.unit].filter(Boolean).join(" ");
    }
    return question.kind === "text" ? (question.accept?.[0] ?? "") : "";
  }

  function rerate(rating: Rating): void {
    const last = asked.at(-1)?.question;
    if (state !== "told" || !last || !go.contains(guessed)) return;
    keeper.amend(rating);
    send();
    go.replaceChildren(next);
    const spoken = verdict.querySelector("[data-part=again]");
    const memory = keeper.memories[keeper.session.at(-1)!.question];
    if (spoken && memory)
      spoken.textContent = `Then it is asked again ${spokenWait(memory.due - memory.last)}.`;
    next.focus({ preventScroll: true });
    tell();
  }

  function follow(): void {
    if (state === "told") show(true);
    else if (state === "over") begin();
  }

  function advance(): void {
    if (state !== "asking") return;
    waiting.shift();
    show(true);
  }

  function over(): void {
    state = "over";
    part = null;
    hold.hidden = code.hidden = true;
    const right = asked.filter((each) => each.right).length;
    where.textContent = asked.length ? "This time" : "";
    ask.hidden = false;
    ask.textContent = asked.length
      ? `${right} of ${asked.length} right the first time`
      : "Nothing is due now.";
    const wrong = asked.filter((each) => !each.right).map((each) => each.question);
    const places = new Set(
      wrong.map((question) => data.lessons[question.lesson]?.anchors[question.anchor]).filter(Boolean),
    );
    const soonest = Math.min(...mine().map(({ id }) => keeper.memories[id]?.due ?? Infinity));
    const later = data.kept && Number.isFinite(soonest) ? spokenWait(soonest - Date.now()) : "";
    verdict.replaceChildren(
      ...(places.size
        ? [h("p", {}, `Worth another look: ${[...places].map((name) => `“${name}”`).join(", ")}.`)]
        : []),
      ...(later ? [h("p", { class: "small" }, `The next question is due ${later}.`)] : []),
    );
    const more = data.kept
      ? plan(mine(), keeper.memories, Date.now(), data.new).length
      : data.questions.length;
    next.textContent = data.kept ? "More questions" : "Once again";
    go.replaceChildren(...(more ? [next] : []));
    tell();
  }

  // ---- how far one is
  function tell(): void {
    const now = Date.now();
    const right = asked.filter((each) => each.right).length;
    const all = asked.length + waiting.filter(({ id }) => !again.has(id)).length;
    const width = all ? 100 / all : 0;
    bar.replaceChildren(
      s("rect", { width: 100, height: 10, rx: 1.5, fill: "var(--press)" }),
      s("rect", { width: right * width, height: 10, fill: "var(--good)" }),
      s("rect", { x: right * width, width: (asked.length - right) * width, height: 10, fill: "var(--bad)" }),
    );
    bar.setAttribute("aria-label", `${right} right and ${asked.length - right} wrong of ${all}`);
    const memories = mine().flatMap(({ id }) => keeper.memories[id] ?? []);
    const known = memories.reduce((sum, memory) => sum + recall(memory, now), 0);
    const lines: [string, string][] = [["right this time", `${right} of ${asked.length}`]];
    if (data.kept) {
      lines.push(["asked so far", `${memories.length} of ${mine().length}`]);
      lines.push(["due now", String(memories.filter((memory) => memory.due <= now).length)]);
      lines.push(["known now, to be expected", String(Math.round(known))]);
    }
    counts.replaceChildren(...lines.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    note.textContent = !data.kept
      ? "Answers are read from the record of your run; nothing is kept."
      : live
        ? "Answers are kept with those of `wiggly quiz`.".replaceAll("`", "")
        : keeper.lasting
          ? "Answers stay in this browser."
          : "This browser keeps nothing for this page: answers last as long as it is open.";
    tools.replaceChildren(...(data.kept && !live && keeper.answers.length ? [save, forget] : []));
    const answers = keeper.session.map((each) => ({ ...each }));
    report({ state, question: waiting[0]?.id ?? null, asked: asked.length, right, answers });
  }

  const save = button("Save progress", () => download(), { title: "A file that wiggly quiz import reads" });
  const forget = button("Forget", () => {
    if (forget.dataset.sure) {
      keeper.forget(new Set(mine().map(({ id }) => id)));
      delete forget.dataset.sure;
      forget.textContent = "Forget";
      begin();
    } else {
      forget.dataset.sure = "yes";
      forget.textContent = "Really forget?";
    }
  });
  function download(): void {
    const address = URL.createObjectURL(new Blob([keeper.exported()], { type: "application/json" }));
    h("a", { href: address, download: "quiz-progress.json" }).click();
    URL.revokeObjectURL(address);
  }

  // ---- a page in a notebook's frame asks the widget beside it
  const hear = (event: MessageEvent<Message>) => {
    if (event.data?.wiggly !== data.id || !event.data.memories) return;
    live = true;
    keeper.lasting = true;
    keeper.take(event.data.memories);
    if (asked.length === 0) begin();
    else tell();
  };
  function send(): void {
    if (inFrame && data.kept)
      window.parent.postMessage({ wiggly: data.id, answers: keeper.session } satisfies Message, "*");
  }
  window.addEventListener("message", hear);
  if (inFrame && data.kept)
    window.parent.postMessage({ wiggly: data.id, hello: true } satisfies Message, "*");

  const picks = Object.fromEntries(
    [...LETTERS.slice(0, 6)].flatMap((letter, place) =>
      [letter, String(place + 1)].map((key) => [key, () => part?.pick(place)] as [string, () => void]),
    ),
  );
  frame.onKey({
    ...picks,
    Enter: () => (state === "asking" ? submit() : follow()),
    g: () => rerate(1),
    k: () => rerate(4),
  });
  begin();
  return { redraw: () => undefined, stop: () => window.removeEventListener("message", hear) };
}

const made = explorable<Data>(
  {
    name: "quiz",
    title: "Quiz",
    idea: "One question at a time, with the reason for its answer. What you know comes back after days, what you do not after minutes, just before it is forgotten.",
    keys: [
      ["a – f", "choose"],
      ["enter", "check, next"],
      ["g", "I guessed"],
      ["k", "knew it at once"],
    ],
  },
  build,
);

/** In a notebook: the quiz itself, or what stands unseen beside its frame and takes answers to the kernel. */
function render(given: { model: Model; el: HTMLElement }) {
  const { model, el } = given;
  const data = model.get("data") as { id: string; beside?: boolean; memories: Record<string, PlainMemory> };
  if (!data.beside) return made.render(given);
  const hear = (event: MessageEvent<Message>) => {
    if (event.data?.wiggly !== data.id) return;
    if (event.data.hello)
      (event.source as Window).postMessage(
        { wiggly: data.id, memories: data.memories } satisfies Message,
        "*",
      );
    if (!event.data.answers) return;
    model.set("state", { answers: event.data.answers });
    model.save_changes();
  };
  const ready = () => {
    for (const frame of document.querySelectorAll("iframe"))
      frame.contentWindow?.postMessage({ wiggly: data.id, memories: data.memories } satisfies Message, "*");
  };
  window.addEventListener("message", hear);
  ready();
  el.style.display = "none";
  return () => window.removeEventListener("message", hear);
}

export default { render };
