// The cleaner in a notebook: the component of the page, with the kernel as its host (anywidget's `render`).
import { followTheme } from "../../widgets/src/kit/theme.ts";
import { Kernel, type Model } from "./kernel.ts";
import { mountCleaner } from "./mount.tsx";
import type { Label } from "./protocol.ts";

interface Settings {
  number: string;
  labels: Label[];
  height: number;
  width: number;
  limit: number;
}

const WAITING =
  "Waiting for the kernel. While it runs another cell, this goes on by itself afterwards; " +
  "if it was stopped or restarted, run this cell again. Marks made before are kept.";

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const settings = model.get("start") as Settings;
  const banner = document.createElement("div");
  banner.className = "wiggly-cleaner-waits";
  banner.setAttribute("role", "status");
  banner.hidden = true;
  banner.textContent = WAITING;
  const root = document.createElement("div");
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own keys: `d d` would delete the cell
  el.append(banner, root);

  const kernel = new Kernel(model, (waiting) => {
    banner.hidden = !waiting;
  });
  void kernel.ask({ do: "counts" }).then(() => hideNote(settings.number));
  const unmount = mountCleaner(root, kernel, {
    compact: true,
    choosers: true,
    order: "loss",
    limit: settings.limit,
    labels: settings.labels,
    tile: { width: settings.width, height: settings.height },
  });
  const light = () => void root.toggleAttribute("data-light", !root.hasAttribute("data-dark"));
  const stopTheme = followTheme(root, light);
  light();
  return () => {
    stopTheme();
    unmount();
    kernel.stop();
    el.replaceChildren();
  };
}

/** Hides what the cleaner left below for those who have no kernel. */
function hideNote(number: string): void {
  const note = `.wiggly-cleaner-note-${number}`;
  const style = document.createElement("style");
  style.textContent = `${note}, .jp-OutputArea-child:has(${note}) { display: none !important; }`;
  document.head.append(style);
}

export default { render };
