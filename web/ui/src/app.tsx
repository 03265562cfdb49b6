/** The page: head, the model's input and answer, foot. */
import type { ModelInfo } from "@wiggly/client";
import { useCallback, useEffect, useState } from "preact/hooks";
import { Foot } from "./foot.tsx";
import { Notice } from "./notice.tsx";
import { open, type Opened, type Status } from "./opening.ts";
import { PhotoPage } from "./photo.tsx";
import { RatingPage } from "./ratings.tsx";
import { RowPage } from "./row.tsx";
import { megabytes, scoreLine } from "./words.ts";

export function App() {
  const [opened, setOpened] = useState<Opened | null>(null);
  const [status, setStatus] = useState<Status>({ phase: "model", loaded: 0, total: 0 });
  const [error, setError] = useState<unknown>(null);
  const start = useCallback(() => {
    setError(null);
    open(setStatus).then(setOpened, setError);
  }, []);
  useEffect(start, [start]);
  useEffect(() => {
    if (opened) document.title = opened.model.info.title;
  }, [opened]);

  if (error) {
    return (
      <main class="alone">
        <h1>{document.title}</h1>
        <Notice error={error} />
        <button type="button" class="primary" onClick={start}>
          Try again
        </button>
      </main>
    );
  }
  if (!opened) return <Opening status={status} />;
  const { info } = opened.model;
  return (
    <>
      <Head info={info} />
      <main data-backend={opened.local?.backend ?? "server"} data-threads={opened.local?.threads ?? 0}>
        <Page opened={opened} />
      </main>
      <Foot opened={opened} />
    </>
  );
}

function Page({ opened }: { opened: Opened }) {
  const { kind } = opened.model.info.inputs[0]!;
  if (kind === "image") return <PhotoPage model={opened.model} />;
  if (kind === "pairs" && opened.local) return <RatingPage model={opened.local} />;
  return <RowPage model={opened.model} />;
}

function Head({ info }: { info: ModelInfo }) {
  return (
    <header>
      <h1>{info.title}</h1>
      {info.description && <p class="description">{info.description}</p>}
      <p class="score">{scoreLine(info)}</p>
    </header>
  );
}

const PHASES = {
  model: "Fetching the model",
  runtime: "Fetching what runs it",
  start: "Starting the model",
  waking: "The server is waking up; this can take a minute",
};

function Opening({ status }: { status: Status }) {
  const { phase, loaded, total } = status;
  const known = total > 0 && loaded <= total;
  return (
    <main class="alone" aria-busy="true">
      <h1>{document.title}</h1>
      <p id="opening" role="status">
        {PHASES[phase]}
        {loaded > 0 && <> · {megabytes(loaded)}</>}
        {known && loaded > 0 && <> of {megabytes(total)}</>}
      </p>
      <progress aria-labelledby="opening" {...(known ? { value: loaded, max: total } : {})} />
    </main>
  );
}
