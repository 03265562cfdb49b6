/** For tables: a form with a field for each column; all may be left open. */
import type { Model, Row } from "@wiggly/client";
import { useEffect, useMemo, useState } from "preact/hooks";
import { AnswerCard } from "./answers.tsx";
import { useAsking } from "./asking.ts";
import { fieldsOf, readRow, shownRow, type Field } from "./fields.ts";

const OPEN = "not known";
const TYPES = { number: "number", date: "datetime-local", text: "text" } as const;

export function RowPage({ model }: { model: Model }) {
  const asking = useAsking(model);
  const { ask, fail } = asking;
  const fields = useMemo(() => fieldsOf(model.info.inputs[0]!), [model]);
  const [texts, setTexts] = useState<Record<string, string>>({});
  const [examples, setExamples] = useState<Row[]>([]);
  useEffect(() => {
    const all = Array.from({ length: model.examples }, (_, i) => model.example(i));
    Promise.all(all).then((rows) => {
      setExamples(rows as Row[]);
      const first = rows[0] && shownRow(fields, rows[0] as Row);
      if (first) setTexts((typed) => ({ ...first, ...typed })); // who was quicker than the examples keeps his words
    }, fail);
  }, [model, fields, fail]);
  const show = (row: Row) => {
    setTexts(shownRow(fields, row));
    ask(row);
  };
  return (
    <div class="columns">
      <section class="card input" aria-label="What the model is asked about">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            ask(readRow(fields, texts));
          }}
        >
          <div class="fields">
            {fields.map((field) => (
              <Entry
                key={field.name}
                field={field}
                text={texts[field.name] ?? ""}
                onText={(text) => setTexts((before) => ({ ...before, [field.name]: text }))}
              />
            ))}
          </div>
          <button type="submit" class="primary">
            Ask the model
          </button>
        </form>
      </section>
      <AnswerCard asking={asking} info={model.info} empty="Fill in what you know, and ask." />
      {examples.length > 0 && (
        <section class="card examples" aria-label="Examples">
          <h2>Rows it had not trained on</h2>
          <ul class="rows">
            {examples.map((row, i) => (
              <li key={i}>
                <button type="button" onClick={() => show(row)}>
                  <strong>{i + 1}</strong> {summary(fields, row)}
                </button>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

function summary(fields: readonly Field[], row: Row): string {
  return fields
    .slice(0, 6)
    .map((field) => field.shown(row[field.name]).replace("T00:00", "") || "–")
    .join(" · ");
}

interface EntryProps {
  field: Field;
  text: string;
  onText: (text: string) => void;
}

function Entry({ field, text, onText }: EntryProps) {
  const id = `field ${field.name}`.replaceAll(" ", "-");
  const note = field.note(text);
  const said = { id, value: text, "aria-describedby": `${id}-hint` };
  const onInput = (event: { currentTarget: { value: string } }) => onText(event.currentTarget.value);
  return (
    <div class="field">
      <label for={id}>{field.name}</label>
      {field.kind === "choice" ? (
        <select {...said} onChange={onInput}>
          <option value="">{OPEN}</option>
          {field.options.map((option) => (
            <option key={option} value={option}>
              {option}
            </option>
          ))}
        </select>
      ) : (
        <input
          {...said}
          type={TYPES[field.kind]}
          step="any"
          placeholder={OPEN}
          list={field.options.length ? `${id}-list` : undefined}
          onInput={onInput}
        />
      )}
      {field.kind === "text" && field.options.length > 0 && (
        <datalist id={`${id}-list`}>
          {field.options.map((option) => (
            <option key={option} value={option} />
          ))}
        </datalist>
      )}
      <p id={`${id}-hint`} class={note ? "hint warn" : "hint"}>
        {note || field.hint}
      </p>
    </div>
  );
}
