/** For ratings: choose what you like, and see what people who liked it liked, too. */
import type { Label, LocalModel, Near } from "@wiggly/client";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Notice } from "./notice.tsx";

const LISTED = 10;
const LEAST = 20; // ratings an item should have to be proposed, if half of all items have as many

export function RatingPage({ model }: { model: LocalModel }) {
  const input = model.info.inputs[0]!;
  const items = useMemo(() => (input.kind === "pairs" ? (input.item.vocab as Label[]) : []), [input]);
  const what = input.kind === "pairs" ? input.item.name : "";
  const [chosen, setChosen] = useState<Label[]>([]);
  const [least, setLeast] = useState(1);
  const [most, setMost] = useState(LEAST);
  const [near, setNear] = useState<Near[]>([]);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    model.ratings().then((counts) => {
      const sorted = [...counts].sort((a, b) => a - b);
      setMost(Math.max(2, sorted.at(-1) ?? 2));
      setLeast(Math.min(LEAST, sorted[Math.floor(sorted.length / 2)] ?? 1));
      const best = items[counts.indexOf(sorted.at(-1)!)]!;
      setChosen((before) => (before.length ? before : [best]));
    }, setError);
  }, [model, items]);
  useEffect(() => {
    if (!chosen.length) return setNear([]);
    model.nearest(chosen, { n: LISTED, least }).then((found) => {
      setNear(found);
      setError(null);
    }, setError);
  }, [model, chosen, least]);
  return (
    <div class="columns">
      <section class="card input" aria-label="What you like">
        <h2>You like</h2>
        <Chips
          labels={chosen}
          onRemove={(label) => setChosen((before) => before.filter((one) => one !== label))}
        />
        <Search
          items={items}
          what={what}
          onFound={(label) => setChosen((before) => [...new Set([...before, label])])}
        />
        <div class="field">
          <label for="least">Leave out what has fewer ratings than {least}</label>
          <input
            id="least"
            type="range"
            min={1}
            max={most}
            value={least}
            onInput={(event) => setLeast(Number(event.currentTarget.value))}
          />
        </div>
      </section>
      <section class="card answer" aria-label="People who liked this liked">
        <h2>People who liked this liked</h2>
        {error ? <Notice error={error} /> : null}
        {!chosen.length && <p class="empty">Choose something.</p>}
        {chosen.length > 0 && !near.length && !error && <p class="empty">Nothing has so many ratings.</p>}
        <ol class="near" aria-live="polite">
          {near.map(({ label, cosine }) => (
            <li key={String(label)}>
              <button type="button" class="quiet" onClick={() => setChosen((before) => [...before, label])}>
                {String(label)}
              </button>
              <span class="share">{cosine.toFixed(2)}</span>
            </li>
          ))}
        </ol>
      </section>
    </div>
  );
}

function Chips({ labels, onRemove }: { labels: readonly Label[]; onRemove: (label: Label) => void }) {
  return (
    <ul class="chips">
      {labels.map((label) => (
        <li key={String(label)}>
          {String(label)}
          <button type="button" aria-label={`Remove ${label}`} onClick={() => onRemove(label)}>
            ×
          </button>
        </li>
      ))}
    </ul>
  );
}

interface SearchProps {
  items: readonly Label[];
  what: string;
  onFound: (label: Label) => void;
}

function Search({ items, what, onFound }: SearchProps) {
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const found = wanted ? items.filter((item) => String(item).toLowerCase().includes(wanted)).slice(0, 8) : [];
  const take = (label: Label) => {
    onFound(label);
    setText("");
  };
  return (
    <form
      class="field"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (found[0] !== undefined) take(found[0]);
      }}
    >
      <label for="search">Add a {what}</label>
      <input
        id="search"
        type="search"
        autocomplete="off"
        placeholder={`one of ${items.length.toLocaleString("en")}`}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <ul class="found" aria-live="polite">
        {found.map((label) => (
          <li key={String(label)}>
            <button type="button" onClick={() => take(label)}>
              {String(label)}
            </button>
          </li>
        ))}
      </ul>
    </form>
  );
}
