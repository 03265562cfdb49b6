"""What a profile found, as a table, and the sentence that says what to do about it.

In: times of stages. Out: `Profile`, the stage that limits, the fix. Read next: `profile.py`, which measures.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Profile", "Stage", "diagnosis"]

# Stages that are ours; any other is a function of the user's, by its name.
GETTER, READ, DECODE, CACHE = "getters", "read", "decode", "cache"
DRAW, WARP, ENCODE, COLLATE, COPY = "draw", "warp and colour", "encode", "collate", "copy to device"
BATCH = "batch_tfms"
OURS = (GETTER, READ, DECODE, CACHE, DRAW, WARP, ENCODE, COLLATE, BATCH, COPY)
# Below this share of waiting the model is what takes the time.
BUSY = 0.1
# A loader that can deliver this many times what the model takes is fast enough, whatever the waiting is for
# (the start of short passes, other programs).
AMPLE = 4.0
# A stage whose processor time is a smaller share of its time than this waits for something else.
WAITS = 0.5
# Share of its time in which a function keeps other threads from running Python.
HOLDS = 0.5
# Threads that deliver a smaller share than this of what they could are in each other's way.
FIGHT = 0.6
# Pixels of a photo per pixel made of it, from which on it is worth saying that photos are large.
LARGE = 25.0


@dataclass(frozen=True)
class Stage:
    """One step from item to batch.

    Attributes:
        name: What it is; for a function of the user's its name.
        seconds: Per item, in one thread.
        cpu_seconds: Of that on the processor; the rest is waiting.
        share: Of all stages together.
        holds_lock: Share of the time in which it keeps other threads from running Python.
    """

    name: str
    seconds: float
    cpu_seconds: float
    share: float
    holds_lock: float = 0.0


@dataclass(frozen=True, repr=False)
class Profile:
    """Where the time goes.

    Attributes:
        stages: In the order in which an item passes them.
        n_items: Items of the sample.
        workers: Threads of the loader.
        items_per_second: What the loader delivers with these threads and nobody else at work.
        waiting: Share of the time in which the model waits for data; None without a learner.
        model_items_per_second: What the model could take; None without a learner.
        source_size: Height and width of the inputs before the transforms, on average; None if they have none.
        target_size: The same after the transforms.
        from_shards: Whether the items are rows of shards.
        bottleneck: Name of the stage that limits, or "model".
        fix: What to do about it.
    """

    stages: tuple[Stage, ...]
    n_items: int
    workers: int
    items_per_second: float
    waiting: float | None = None
    model_items_per_second: float | None = None
    source_size: tuple[int, int] | None = None
    target_size: tuple[int, int] | None = None
    from_shards: bool = False
    bottleneck: str = ""
    fix: str = ""

    def __repr__(self) -> str:
        return f"Profile(bottleneck={self.bottleneck!r}, items_per_second={self.items_per_second:.0f})"

    def __str__(self) -> str:
        lines = [f"{self.n_items} items, one thread".ljust(34) + "ms per item   share"]
        lines += [f"  {s.name[:30]:<30}{1000 * s.seconds:>13.3f}{s.share:>8.0%}" for s in self.stages]
        total = self.seconds
        lines.append(f"  {'together':<30}{1000 * total:>13.3f}        {1 / max(total, 1e-9):,.0f} items/s")
        lines.append(f"loader, {_threads(self.workers)}: {self.items_per_second:,.0f} items/s")
        if self.waiting is not None and self.model_items_per_second is not None:
            model = f"model: {self.model_items_per_second:,.0f} items/s"
            lines.append(f"{model}; in training it waits for data {self.waiting:.0%} of the time")
        return "\n".join([*lines, f"bottleneck: {self.bottleneck}. {self.fix}"])

    @property
    def seconds(self) -> float:
        """Of all stages together, per item."""
        return sum(stage.seconds for stage in self.stages)


def diagnosis(made: Profile, cores: int, can_warp_elsewhere: bool) -> tuple[str, str]:
    """The stage to mend, and how, in a sentence.

    Args:
        made: The measurements.
        cores: That this process may use.
        can_warp_elsewhere: Whether `warp_on="device"` is still to be tried.
    """
    waiting, takes = made.waiting, made.model_items_per_second
    if (
        waiting is not None
        and takes is not None
        and (waiting < BUSY or made.items_per_second > AMPLE * takes)
    ):
        return "model", (
            f"It waits for data only {waiting:.0%} of the time, so a faster loader gains nothing; a smaller "
            "model, smaller pictures or a GPU would."
        )
    worst = max(made.stages, key=lambda stage: stage.seconds)
    fix = _fix_of(worst, made, can_warp_elsewhere)
    return worst.name, " ".join([fix, *_about_threads(made, worst, cores)])


def _about_threads(made: Profile, worst: Stage, cores: int) -> list[str]:
    """What is to be said about the threads, if they do less than they could."""
    waits = worst.cpu_seconds < WAITS * worst.seconds
    if worst.holds_lock > HOLDS or waits:
        return []
    if made.workers < cores:
        return [f"The loader has {_threads(made.workers)} for {cores} cores: leave out `num_workers`."]
    reached = made.items_per_second * made.seconds / max(1, min(made.workers, cores))
    if made.workers < 2 or reached > FIGHT:
        return []
    said = f"And {_threads(made.workers)} deliver only {reached:.0%} of what they could"
    if os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive":
        return [f"{said}: other programs use the cores."]
    return [
        f"{said}: other programs use the cores, or OpenMP's threads spin on them. Set "
        "OMP_WAIT_POLICY=passive before Python starts."
    ]


def _fix_of(stage: Stage, made: Profile, can_warp_elsewhere: bool) -> str:
    # Rows of shards are read in any case; a file whose pixels are kept is not.
    saved = (DECODE,) if made.from_shards else (READ, DECODE)
    rest = made.seconds - sum(s.seconds for s in made.stages if s.name in saved)
    gain = f"about {made.seconds / max(rest, 1e-9):.1f} times as many items per second"
    takes = f"It takes {stage.share:.0%} of an item's time"
    match stage.name:
        case "read" if made.from_shards:
            return f"{takes}: shards are read slowly. Copy them to a disk of this machine."
        case "read":
            return (
                f"{takes}: the disk or the network is slow. Copy the files to a disk of this machine; or "
                f"cache='auto' reads each once and then gives {gain}."
            )
        case "decode":
            return f"{takes}{_large(made)}. cache='auto' decodes each item once and then gives {gain}."
        case "cache":
            return (
                f"{takes}: kept items are read from a slow disk. Pass cache='ram', or another `cache_path`."
            )
        case "getters":
            waits = "waits, " if stage.cpu_seconds < WAITS * stage.seconds else ""
            return f"{takes}: `get_x` or `get_y` {waits}is slow. Work it out once and keep it in a table."
        case "warp and colour" | "draw":
            more = ", or warp_on='device' on a GPU" if can_warp_elsewhere else ""
            return f"{takes}, which is as it should be: only smaller pictures or more cores help{more}."
        case "copy to device":
            return (
                f"{takes}. Pass smaller pictures, or let the Learner move the batches while the model works."
            )
        case "collate" | "encode" | "batch_tfms":
            return f"{takes}. {_BATCH_FIXES[stage.name]}"
        case _:
            return f"{takes}: {_function_fix(stage)}"


_BATCH_FIXES = {
    "collate": "Pass a smaller `bs`, or give all items one shape.",
    "encode": "Make the block's `encode` return a tensor of its final type without copies.",
    "batch_tfms": "Use transforms of wiggly's own, which are part of the one resampling.",
}


def _function_fix(stage: Stage) -> str:
    """What to do about a function of the user's."""
    if stage.cpu_seconds < WAITS * stage.seconds:
        return "it waits for something else (a file, a network, a sleep). Do that once, before training."
    if stage.holds_lock > HOLDS:
        return (
            "it holds Python's lock, so threads do not help. Write it with numpy or OpenCV, use a transform "
            "of wiggly's own, or apply it once and keep the files."
        )
    return (
        "use a transform of wiggly's own, which is part of the one resampling, or apply it once and keep the "
        "files."
    )


def _large(made: Profile) -> str:
    if made.source_size is None or made.target_size is None:
        return ""
    (h, w), (height, width) = made.source_size, made.target_size
    if h * w < LARGE * height * width:
        return ""
    return (
        f", for the photos are large ({w}×{h} on average, for {width}×{height}): `resize_images` makes "
        "smaller copies once"
    )


def _threads(n: int) -> str:
    return "1 thread" if n == 1 else "no threads of its own" if n == 0 else f"{n} threads"
