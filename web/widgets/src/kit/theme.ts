// Colours and layout of every explorable, and whether the page around it is dark.

export const CSS = `
.wx { --paper:#fff; --ink:#1b1f24; --soft:#57606c; --line:#cfd6de; --grid:#e9edf1; --panel:#f5f7f9;
  --model:#d9480f; --data:#1c6dd0; --good:#0b7a53; --bad:#c92a2a; --third:#7b3fb5; --press:#e6ebf0;
  container-type:inline-size; box-sizing:border-box; color:var(--ink); background:var(--paper);
  font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif; border:1px solid var(--line);
  border-radius:12px; padding:16px; max-width:1080px; margin:0 auto; text-align:left; color-scheme:light; }
.wx[data-dark] { --paper:#14171c; --ink:#e8eaed; --soft:#a3adba; --line:#3a424e; --grid:#242a33; --panel:#1c2128;
  --model:#ff8f61; --data:#70b5ff; --good:#52d3a4; --bad:#ff8080; --third:#c59bff; --press:#2b323c;
  color-scheme:dark; }
.wx *, .wx *::before { box-sizing:border-box; }
.wx h2 { font-size:1.3em; line-height:1.2; margin:0; color:inherit; font-weight:650; }
.wx .idea { margin:4px 0 12px; color:var(--soft); max-width:70ch; }
.wx .body { display:grid; gap:14px; grid-template-columns:minmax(0,1fr); }
@container (min-width:760px) {
  .wx .body { grid-template:"stage side" auto "notice side" auto "under side" 1fr / minmax(0,1fr) 300px; gap:14px 20px; }
  .wx .stage { grid-area:stage; } .wx .notice { grid-area:notice; }
  .wx .side { grid-area:side; } .wx .under { grid-area:under; } }
.wx .under { display:flex; flex-direction:column; gap:12px; min-width:0; } .wx .under:empty { display:none; }
.wx .stage { min-width:0; position:relative; }
.wx .stage svg { display:block; width:100%; overflow:visible; touch-action:pan-y; user-select:none;
  -webkit-user-select:none; border-radius:8px; }
.wx .stage svg.grabs { touch-action:none; }
.wx .side { display:flex; flex-direction:column; gap:12px; min-width:0; }
.wx .row { display:flex; flex-wrap:wrap; gap:6px; align-items:center; }
.wx .box { background:var(--panel); border-radius:8px; padding:10px 12px; margin:0; }
.wx button { font:inherit; font-size:14px; color:inherit; background:var(--panel); border:1px solid var(--line);
  border-radius:8px; min-height:38px; padding:4px 11px; cursor:pointer; margin:0; line-height:1.2; }
.wx button:hover:not(:disabled, [aria-pressed=true], [aria-checked=true]) { background:var(--press); }
.wx button:disabled { opacity:.45; cursor:default; }
.wx button.primary { background:var(--data); border-color:var(--data); color:var(--paper); font-weight:600;
  min-width:72px; }
.wx button.primary:hover:not(:disabled) { filter:brightness(1.08); background:var(--data); }
.wx button[aria-pressed=true], .wx [role=radio][aria-checked=true] { background:var(--ink); color:var(--paper);
  border-color:var(--ink); }
.wx :focus-visible { outline:3px solid var(--data); outline-offset:2px; }
.wx .slider { display:grid; grid-template-columns:1fr auto; gap:0 8px; font-size:14px; margin:0; }
.wx .slider output { font-variant-numeric:tabular-nums; font-weight:600; }
.wx .slider input { grid-column:1/-1; width:100%; height:30px; margin:0; accent-color:var(--data); }
.wx .choice { border:0; padding:0; margin:0; min-width:0; }
.wx .choice .name { font-size:14px; margin-bottom:4px; }
.wx .big { font-size:1.5em; font-weight:650; font-variant-numeric:tabular-nums; line-height:1.15; }
.wx .small { font-size:13px; color:var(--soft); }
.wx .notice { border-left:4px solid var(--data); background:var(--panel); border-radius:0 8px 8px 0;
  padding:10px 12px; margin:0; min-height:66px; }
.wx .notice b { display:block; font-size:12px; letter-spacing:.06em; text-transform:uppercase; color:var(--soft); }
.wx .foot { margin-top:12px; font-size:13px; color:var(--soft); display:flex; flex-wrap:wrap; gap:4px 18px;
  align-items:baseline; }
.wx .foot details { flex:1 1 100%; order:2; }
.wx .foot summary { cursor:pointer; padding:6px 0; color:var(--data); width:fit-content; }
.wx .foot pre { overflow:auto; background:var(--panel); color:var(--ink); padding:12px; border-radius:8px;
  font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; max-height:420px; margin:4px 0 0;
  tab-size:4; white-space:pre; }
.wx kbd { font:12px ui-monospace,monospace; border:1px solid var(--line); border-radius:4px; padding:0 4px;
  background:var(--panel); color:var(--ink); }
.wx .formula { font:13px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; overflow-wrap:anywhere;
  max-height:7.2em; overflow:auto; }
.wx svg text { font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif; fill:var(--soft);
  font-variant-numeric:tabular-nums; }
.wx svg .grid { stroke:var(--grid); } .wx svg .axis { stroke:var(--line); }
.wx svg .label { fill:var(--ink); font-size:12.5px; font-weight:600; paint-order:stroke; stroke:var(--paper);
  stroke-width:4px; stroke-linejoin:round; }
.wx .notice:has(span:empty) { display:none; }
.wx .output { min-height:120px; overflow:auto; } .wx .output img { max-width:100%; height:auto; background:#fff;
  border-radius:6px; display:block; } .wx .output pre { white-space:pre-wrap; margin:6px 0; font:13px/1.5 ui-monospace,monospace; }
.wx .output .error { color:var(--bad); } .wx .output[aria-busy=true] { opacity:.55; }
.wx input[type=text], .wx select { font:inherit; color:inherit; background:var(--panel); border:1px solid var(--line);
  border-radius:8px; min-height:38px; padding:4px 10px; width:100%; }
.wx .check { display:flex; gap:8px; align-items:center; min-height:38px; }
.wx .check input { width:20px; height:20px; accent-color:var(--data); }
.wx svg .handle { cursor:grab; touch-action:none; } .wx svg .handle:active { cursor:grabbing; }
.wx svg .handle:focus-visible { outline:none; stroke:var(--data); stroke-width:4; }
@media (prefers-reduced-motion:no-preference) { .wx button { transition:background .12s; } }
`;

/** Whether the page around an element is dark: its own switch first (Jupyter, VS Code, marimo, MkDocs), then the system. */
export function isDark(element: Element): boolean {
  const said = switchOf(element.ownerDocument) ?? switchOf(outerDocument());
  return said ?? matchMedia("(prefers-color-scheme: dark)").matches;
}

function switchOf(page: Document | null): boolean | null {
  if (!page?.body) return null;
  const { body, documentElement: root } = page;
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  if (body.matches(".vscode-dark, .vscode-high-contrast")) return true;
  if (body.matches(".vscode-light")) return false;
  const scheme = body.dataset.mdColorScheme ?? root.dataset.theme ?? body.dataset.theme;
  if (scheme) return /dark|slate/.test(scheme);
  if (root.matches(".dark, .dark-theme") || body.matches(".dark, .dark-theme")) return true;
  if (root.matches(".light") || body.matches(".light")) return false;
  return null;
}

/** The page that holds our frame, where we may see it. */
function outerDocument(): Document | null {
  try {
    return window.parent === window ? null : window.parent.document;
  } catch {
    return null; // a frame of another origin
  }
}

/** Keeps `data-dark` on an element in step with the page; returns what stops it. */
export function followTheme(root: HTMLElement, changed: () => void): () => void {
  const update = () => {
    const dark = isDark(root);
    if (dark === root.hasAttribute("data-dark")) return;
    root.toggleAttribute("data-dark", dark);
    changed();
  };
  const observer = new MutationObserver(update);
  for (const page of [document, outerDocument()]) {
    if (!page?.body) continue;
    observer.observe(page.body, { attributes: true });
    observer.observe(page.documentElement, { attributes: true });
  }
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", update);
  update();
  return () => {
    observer.disconnect();
    query.removeEventListener("change", update);
  };
}
