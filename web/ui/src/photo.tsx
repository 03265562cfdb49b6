/** For photos: drop, paste, choose, take one, or an example. */
import type { Model } from "@wiggly/client";
import { InputError } from "@wiggly/client";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { AnswerCard } from "./answers.tsx";
import { useAsking } from "./asking.ts";
import { Camera } from "./camera.tsx";
import { Drawn } from "./drawn.tsx";

interface Chosen {
  file: Blob;
  url: string;
  name: string;
}

export function PhotoPage({ model }: { model: Model }) {
  const asking = useAsking(model);
  const { ask, fail, clear } = asking;
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const [camera, setCamera] = useState(false);
  const choose = useCallback(
    (file: Blob) => {
      setCamera(false);
      setChosen({ file, url: URL.createObjectURL(file), name: file instanceof File ? file.name : "" });
      ask(file);
    },
    [ask],
  );
  useEffect(() => {
    if (!chosen) return;
    return () => URL.revokeObjectURL(chosen.url);
  }, [chosen]);
  const remove = () => {
    setChosen(null);
    clear();
  };
  const over = useDropAndPaste(choose, fail);
  const refused = useCallback(
    (error: unknown) => {
      setCamera(false);
      fail(error);
    },
    [fail],
  );
  return (
    <div class="columns">
      <section class={over ? "card input over" : "card input"} aria-label="Your photo">
        {camera ? (
          <Camera onPhoto={choose} onError={refused} onClose={() => setCamera(false)} />
        ) : chosen && !asking.error ? (
          <>
            <Drawn url={chosen.url} name={chosen.name} reply={asking.reply} outputs={model.info.outputs} />
            <Buttons onFile={choose} onCamera={() => setCamera(true)} onRemove={remove} />
          </>
        ) : (
          <div class="drop">
            {TOUCH ? (
              <strong>Show it a photo</strong>
            ) : (
              <p>
                <strong>Drop a photo here</strong>
                <span class="fine">or paste one from the clipboard</span>
              </p>
            )}
            <Buttons onFile={choose} onCamera={() => setCamera(true)} />
          </div>
        )}
      </section>
      <AnswerCard asking={asking} info={model.info} empty="Show it a photo, or try one of the examples." />
      <Examples model={model} onChoose={choose} onError={fail} />
    </div>
  );
}

/** Files that are dropped on the page or pasted into it; whether one is held over it. */
function useDropAndPaste(choose: (file: Blob) => void, fail: (error: unknown) => void): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const take = (data: DataTransfer | null) => {
      const file = data?.files[0];
      if (file) return choose(file);
      fail(new InputError("a photo must be a file", "there is none in what was given", "Choose a file."));
    };
    const drag = (event: DragEvent) => {
      event.preventDefault();
      setOver(event.type === "dragover");
    };
    const drop = (event: DragEvent) => {
      drag(event);
      take(event.dataTransfer);
    };
    const paste = (event: ClipboardEvent) => take(event.clipboardData);
    const all = { dragover: drag, dragleave: drag, drop, paste } as unknown as Record<string, EventListener>;
    for (const [name, listener] of Object.entries(all)) document.addEventListener(name, listener);
    return () => {
      for (const [name, listener] of Object.entries(all)) document.removeEventListener(name, listener);
    };
  }, [choose, fail]);
  return over;
}

interface ButtonsProps {
  onFile: (file: Blob) => void;
  onCamera: () => void;
  /** There where a photo is shown. */
  onRemove?: () => void;
}

/** Phones and tablets: nothing can be dropped there, and the camera is an app. */
const TOUCH = matchMedia("(pointer: coarse)").matches;

function Buttons({ onFile, onCamera, onRemove }: ButtonsProps) {
  const webcam = !TOUCH && Boolean((navigator as Partial<Navigator>).mediaDevices);
  return (
    <div class="buttons">
      <Pick label={onRemove ? "Choose another" : "Choose a photo"} primary onFile={onFile} />
      {TOUCH && <Pick label="Take a photo" capture onFile={onFile} />}
      {webcam && (
        <button type="button" onClick={onCamera}>
          Webcam
        </button>
      )}
      {onRemove && (
        <button type="button" class="quiet remove" onClick={onRemove}>
          Remove
        </button>
      )}
    </div>
  );
}

interface PickProps {
  label: string;
  primary?: boolean;
  /** Opens the phone's camera. */
  capture?: boolean;
  onFile: (file: Blob) => void;
}

function Pick({ label, primary, capture, onFile }: PickProps) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class={primary ? "primary" : ""} onClick={() => input.current?.click()}>
        {label}
      </button>
      <input
        ref={input}
        type="file"
        accept="image/*"
        hidden
        aria-label={label}
        {...(capture ? { capture: "environment" } : {})}
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          if (file) onFile(file);
        }}
      />
    </>
  );
}

interface ExamplesProps {
  model: Model;
  onChoose: (file: Blob) => void;
  onError: (error: unknown) => void;
}

function Examples({ model, onChoose, onError }: ExamplesProps) {
  const [photos, setPhotos] = useState<Chosen[]>([]);
  useEffect(() => {
    let gone = false;
    const urls: string[] = [];
    const all = Array.from({ length: model.examples }, (_, i) => model.example(i));
    Promise.all(all).then((files) => {
      if (gone) return;
      setPhotos(
        files.map((found, i) => {
          const file = found as Blob;
          urls.push(URL.createObjectURL(file));
          return { file, url: urls[i]!, name: `example ${i + 1}` };
        }),
      );
    }, onError);
    return () => {
      gone = true;
      urls.forEach((url) => URL.revokeObjectURL(url));
    };
  }, [model, onError]);
  if (!photos.length) return null;
  return (
    <section class="card examples" aria-label="Examples">
      <h2>Photos it had not trained on</h2>
      <ul>
        {photos.map(({ file, url, name }) => (
          <li key={url}>
            <button type="button" aria-label={`Ask about ${name}`} onClick={() => onChoose(file)}>
              <img src={url} alt="" />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
