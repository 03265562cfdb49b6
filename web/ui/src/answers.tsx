/** What the model says, in words, bars and numbers; what lies on the photo is in `drawn.tsx`. */
import type { Answer, CategoryReply, Chance, LabelsReply, ModelInfo, Output, Reply } from "@wiggly/client";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Asking } from "./asking.ts";
import { Notice } from "./notice.tsx";
import { colourOf, percent, plain, spoken } from "./words.ts";

const TOP = 5;

/** The card beside the input. */
export function AnswerCard({ asking, info, empty }: { asking: Asking; info: ModelInfo; empty: string }) {
  const { reply, error, busy } = asking;
  const card = useRef<HTMLElement>(null);
  useEffect(() => {
    if (reply || error) card.current?.scrollIntoView({ block: "nearest" }); // on phones it is below
  }, [reply, error]);
  return (
    <section
      class="card answer"
      aria-label="The model says"
      aria-busy={busy}
      ref={(section) => {
        card.current = section;
        if (section) Object.assign(section, { reply }); // for tests, and for whoever scripts the page
      }}
    >
      <h2>The model says</h2>
      <p class="spoken" role="status">
        {busy ? "Looking…" : reply ? spoken(reply.answers) : ""}
      </p>
      {error ? <Notice error={error} /> : null}
      {!error && !reply && <p class="empty">{busy ? "Looking…" : empty}</p>}
      {!error && reply && <Answers reply={reply} info={info} />}
    </section>
  );
}

function Answers({ reply, info }: { reply: Reply; info: ModelInfo }) {
  return (
    <>
      {reply.answers.map((answer, i) => (
        <One key={i} answer={answer} output={info.outputs[i]!} alone={reply.answers.length === 1} />
      ))}
    </>
  );
}

function One({ answer, output, alone }: { answer: Answer; output: Output; alone: boolean }) {
  switch (answer.kind) {
    case "category":
      return <Category answer={answer} output={output} alone={alone} />;
    case "labels":
      return <Labels answer={answer} />;
    case "numbers":
      return <Numbers answer={answer} output={output} />;
    case "points":
      return <p class="said">{answer.points.length} points, drawn on the photo.</p>;
    case "boxes":
      return <Boxes answer={answer} output={output} />;
    case "mask":
      return <Shares answer={answer} output={output} />;
  }
}

function Category({ answer, output, alone }: { answer: CategoryReply; output: Output; alone: boolean }) {
  const rule = "unsure" in output ? output.unsure : null;
  return (
    <div class={answer.unsure ? "one unsure" : "one"}>
      {answer.name && <h3>{answer.name}</h3>}
      {answer.unsure ? (
        <>
          <p class="said">Not sure</p>
          <p class="maybe">
            maybe <strong>{String(answer.label)}</strong> ({percent(answer.confidence)})
          </p>
          {rule && (
            <p class="why">
              It was right on {percent(rule.accuracy)} of the answers it was sure of; {percent(rule.share)}{" "}
              were like this one.
            </p>
          )}
        </>
      ) : (
        <p class="said">{String(answer.label)}</p>
      )}
      <Bars chances={answer.probabilities} strong={answer.unsure ? [] : [answer.label]} open={alone} />
    </div>
  );
}

function Labels({ answer }: { answer: LabelsReply }) {
  return (
    <div class="one">
      {answer.name && <h3>{answer.name}</h3>}
      {answer.labels.length ? (
        <ul class="chips">
          {answer.labels.map((label) => (
            <li key={String(label)}>{String(label)}</li>
          ))}
        </ul>
      ) : (
        <p class="said">None of its classes</p>
      )}
      <Bars chances={answer.probabilities} strong={answer.labels} open />
    </div>
  );
}

interface BarsProps {
  chances: readonly Chance[];
  /** Labels that are the answer. */
  strong: readonly Chance["label"][];
  /** Whether there is room for more than the first few. */
  open: boolean;
}

function Bars({ chances, strong, open }: BarsProps) {
  const [all, setAll] = useState(false);
  const shown = all ? chances : chances.slice(0, TOP);
  return (
    <>
      <ol class="bars">
        {shown.map(({ label, probability }) => (
          <li key={String(label)} class={strong.includes(label) ? "strong" : ""}>
            <span class="name">{String(label)}</span>
            <span class="share">{percent(probability)}</span>
            <span class="bar" aria-hidden="true">
              <span style={{ width: `${Math.max(0.5, 100 * probability)}%` }} />
            </span>
          </li>
        ))}
      </ol>
      {open && chances.length > TOP && (
        <button type="button" class="quiet" onClick={() => setAll(!all)} aria-expanded={all}>
          {all ? "Fewer" : `All ${chances.length}`}
        </button>
      )}
    </>
  );
}

function Numbers({ answer, output }: { answer: Extract<Answer, { kind: "numbers" }>; output: Output }) {
  const range = output.kind === "numbers" ? output : null;
  return (
    <dl class="numbers">
      {answer.values.map(({ name, value }, i) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{plain(value, 5)}</dd>
          {range && (
            <dd class="range">
              {plain(range.low[i]!)} to {plain(range.high[i]!)} in training
            </dd>
          )}
        </div>
      ))}
    </dl>
  );
}

function Legend({ rows }: { rows: { key: string; name: string; share: string; colour: string }[] }) {
  return (
    <ul class="legend">
      {rows.map(({ key, name, share, colour }) => (
        <li key={key}>
          <span class="swatch" style={{ background: colour }} aria-hidden="true" />
          <span class="name">{name}</span>
          <span class="share">{share}</span>
        </li>
      ))}
    </ul>
  );
}

/** Its place in the vocabulary, which decides its colour. */
export function placeOf(output: Output, label: Chance["label"]): number {
  return "vocabulary" in output ? output.vocabulary.indexOf(label) : 0;
}

function Boxes({ answer, output }: { answer: Extract<Answer, { kind: "boxes" }>; output: Output }) {
  if (!answer.boxes.length) return <p class="said">Nothing found</p>;
  const rows = answer.boxes.map(({ label, score }, i) => {
    const colour = colourOf(placeOf(output, label));
    return { key: String(i), name: String(label), share: percent(score), colour };
  });
  return <Legend rows={rows} />;
}

function Shares({ answer, output }: { answer: Extract<Answer, { kind: "mask" }>; output: Output }) {
  if (!answer.classes.length) return <p class="said">None of its classes</p>;
  const rows = answer.classes.map(({ label, share }) => {
    const colour = colourOf(placeOf(output, label));
    return { key: String(label), name: String(label), share: percent(share), colour };
  });
  return <Legend rows={rows} />;
}
