/** What the model knows, where things stay, whence it comes. */
import type { LocalModel } from "@wiggly/client";
import { useEffect, useState } from "preact/hooks";
import type { Opened } from "./opening.ts";
import { classesOf } from "./words.ts";

const LISTED = 1000;

/** The browser's offer to install the page. */
interface InstallOffer extends Event {
  prompt(): Promise<unknown>;
}

export function Foot({ opened }: { opened: Opened }) {
  const { info } = opened.model;
  const classes = classesOf(info.outputs);
  const whatever = info.task === "classification" && info.inputs[0]!.kind === "image";
  const more = classes.length > LISTED ? `, and ${(classes.length - LISTED).toLocaleString("en")} more` : "";
  return (
    <footer>
      {classes.length > 0 && (
        <details>
          <summary>
            It knows {classes.length.toLocaleString("en")} classes
            {whatever && " and answers with one of them whatever the photo shows"}
          </summary>
          <p>
            {classes.slice(0, LISTED).join(", ")}
            {more}
          </p>
        </details>
      )}
      <p>
        <Privacy opened={opened} /> {info.licence && <>Terms of use: {info.licence}. </>}
        {info.wiggly && (
          <>
            Made with wiggly {info.wiggly}
            {info.created && <> on {info.created.slice(0, 10)}</>}.
          </>
        )}
      </p>
      <div class="buttons">
        {opened.local && opened.local.examples > 0 && <Check model={opened.local} />}
        <Install />
      </div>
    </footer>
  );
}

function Privacy({ opened }: { opened: Opened }) {
  const what = opened.model.info.inputs[0]!.kind === "image" ? "Photos" : "What is filled in";
  const verb = what === "Photos" ? "are" : "is";
  if (opened.local) return <>The model runs on this device: what you show it stays here.</>;
  return (
    <>
      {what} {verb} sent to {opened.host}, which answers.
    </>
  );
}

/** Runs the worked examples: does this device compute what the model's maker saw? */
function Check({ model }: { model: LocalModel }) {
  const [said, setSaid] = useState("");
  const check = () => {
    setSaid("Checking…");
    model.verify().then(
      ({ ok, examples, difference }) => {
        const n = `${examples.filter(({ same }) => same).length} of ${examples.length} examples answered as recorded`;
        setSaid(
          `${ok ? "" : "This device computes something else: "}${n}, largest difference ${difference.toFixed(6)}.`,
        );
      },
      (error: unknown) => setSaid(String(error)),
    );
  };
  return (
    <>
      <button type="button" class="quiet check" onClick={check}>
        Check this device
      </button>
      <p class="checked" role="status">
        {said}
      </p>
    </>
  );
}

function Install() {
  const [offer, setOffer] = useState<InstallOffer | null>(null);
  useEffect(() => {
    const keep = (event: Event) => {
      event.preventDefault();
      setOffer(event as InstallOffer);
    };
    addEventListener("beforeinstallprompt", keep);
    return () => removeEventListener("beforeinstallprompt", keep);
  }, []);
  if (!offer) return null;
  return (
    <button type="button" onClick={() => void offer.prompt().then(() => setOffer(null))}>
      Install as an app
    </button>
  );
}
