/** The page: finds the model, takes a photo or a row, shows what the model says. Change it as you like. */
import { connect, load, takesPictures, type Item, type Model, type Reply, type Row } from "@wiggly/client";
import { answersAsHtml } from "./answers.ts";
import { BUNDLE, ENDPOINT } from "./settings.ts";

const find = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const [status, form, answer] = [find("status"), find<HTMLFormElement>("form"), find("answer")];

async function start(): Promise<void> {
  const model = await open();
  document.title = model.info.title;
  document.querySelector("h1")!.textContent = model.info.title;
  status.textContent = "";
  form.hidden = false;
  if (takesPictures(model.info)) askForPhoto(model);
  else askForRow(model, model.examples ? ((await model.example(0)) as Row) : {});
}

function open(): Promise<Model> {
  if (ENDPOINT) return connect(ENDPOINT, { onWaiting: () => (status.textContent = "Waking the server…") });
  return load(BUNDLE!, {
    onProgress: ({ loaded }) => (status.textContent = `Fetching the model… ${(loaded / 1e6).toFixed(1)} MB`),
  });
}

function askForPhoto(model: Model): void {
  form.innerHTML = `<label>A photo <input type="file" accept="image/*" /></label>`;
  form.querySelector("input")!.addEventListener("change", ({ currentTarget }) => {
    const [file] = (currentTarget as HTMLInputElement).files!;
    if (file) void ask(model, file);
  });
}

function askForRow(model: Model, row: Row): void {
  form.innerHTML = `<label>A row <textarea rows="8" spellcheck="false"></textarea></label><button>Ask</button>`;
  const text = form.querySelector("textarea")!;
  text.value = JSON.stringify(row, null, 2);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void ask(model, JSON.parse(text.value) as Row);
  });
}

async function ask(model: Model, item: Item): Promise<void> {
  status.textContent = "Looking…";
  try {
    const reply: Reply = await model.predict(item);
    answer.replaceChildren(...answersAsHtml(reply));
    status.textContent = "";
  } catch (error) {
    answer.replaceChildren();
    status.textContent = error instanceof Error ? error.message : String(error);
  }
}

start().catch((error: unknown) => (status.textContent = String(error)));
