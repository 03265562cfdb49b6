// Step, back, play: a list of states that grows forwards and is walked both ways.
import { button } from "./controls.ts";
import { h } from "./dom.ts";
import type { Frame } from "./frame.ts";

const LONGEST = 5000; // states kept; older ones are forgotten

export interface PlayerOptions<State> {
  first: () => State;
  next: (state: State) => State | null; // null: there is nothing after it
  show: () => void;
  perSecond: () => number; // states shown in a second of playing
}

export class Player<State> {
  readonly element: HTMLElement;
  states: State[];
  index = 0;
  forgotten = 0;
  private frameId = 0;
  private owed = 0;
  private last = 0;
  private readonly play: HTMLButtonElement;
  private readonly backButton: HTMLButtonElement;

  constructor(
    frame: Frame,
    private readonly options: PlayerOptions<State>,
  ) {
    this.states = [options.first()];
    this.play = button("Play", () => this.toggle(), { primary: true, title: "Play or pause (space)" });
    this.backButton = button("Back", () => this.back(), { title: "One step back (left arrow)" });
    this.element = h(
      "div",
      { class: "row player" },
      this.play,
      this.backButton,
      button("Step", () => this.step(), { title: "One step (right arrow)" }),
      button("Reset", () => this.reset(), { title: "Back to the start (r)" }),
    );
    frame.onKey({
      " ": () => this.toggle(),
      ArrowRight: () => this.step(),
      ArrowLeft: () => this.back(),
      r: () => this.reset(),
    });
    this.update();
  }

  get state(): State {
    return this.states[this.index];
  }

  /** Steps taken since the start. */
  get count(): number {
    return this.index + this.forgotten;
  }

  get playing(): boolean {
    return this.frameId !== 0;
  }

  step(): void {
    this.pause();
    this.advance();
    this.shown();
  }

  back(): void {
    this.pause();
    if (this.index > 0) this.index -= 1;
    this.shown();
  }

  reset(): void {
    this.pause();
    this.restart(this.options.first());
  }

  /** A new beginning from this state. */
  restart(state: State): void {
    this.states = [state];
    this.index = this.forgotten = 0;
    this.shown();
  }

  toggle(): void {
    if (this.playing) this.pause();
    else {
      this.last = performance.now();
      this.owed = 1;
      this.frameId = requestAnimationFrame(this.tick);
    }
    this.update();
  }

  pause(): void {
    cancelAnimationFrame(this.frameId);
    this.frameId = 0;
    this.update();
  }

  private readonly tick = (now: number): void => {
    this.owed += Math.min(now - this.last, 100) * (this.options.perSecond() / 1000);
    this.last = now;
    let going = true;
    const before = this.index;
    while (this.owed >= 1 && going) {
      this.owed -= 1;
      going = this.advance();
    }
    this.frameId = going ? requestAnimationFrame(this.tick) : 0;
    if (this.index !== before || !going) this.shown();
  };

  private advance(): boolean {
    if (this.index === this.states.length - 1) {
      const next = this.options.next(this.state);
      if (next === null) return false;
      this.states.push(next);
      if (this.states.length > LONGEST) {
        this.states.shift();
        this.forgotten += 1;
        this.index -= 1;
      }
    }
    this.index += 1;
    return true;
  }

  private shown(): void {
    this.update();
    this.options.show();
  }

  private update(): void {
    this.play.textContent = this.playing ? "Pause" : "Play";
    this.backButton.disabled = this.index === 0;
  }
}
