"""What `DataBlock.summary` prints: one sample through every step, with shapes and times, then a batch.

In: data sets just built. Out: a line per step; where one fails, the steps before it, the error and its fix.
Read next: `show.py`, which draws the batch.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
from PIL import Image
from torch import Tensor

from wiggly.data.dataset import Dataset, identity
from wiggly.data.loader import LOOKING, DataLoader, item_seed
from wiggly.data.pipeline import function_name
from wiggly.data.table import Row
from wiggly.data.transform import is_active, transform_names
from wiggly.errors import ItemError, WigglyError
from wiggly.records import Batch

__all__ = ["Steps", "batch_of", "brief", "describe", "walk"]

NAME_WIDTH, WIDTH = 8, 100
MOST_TRIED = 50  # unreadable items passed over before a readable one is given up

Line = tuple[str, str, float | None]


class Steps:
    """Tells steps as they are done, each with the time since the one before.

    Args:
        write: Takes a line; None tells nothing.

    Example:
        >>> steps = Steps(print)
        >>> steps.tell("items", "240 in a list", timed=False)
        items   240 in a list
    """

    def __init__(self, write: Callable[[str], object] | None) -> None:
        self._write = write
        self._since = time.perf_counter()

    def tell(self, name: str, text: str, timed: bool = True) -> None:
        """One step: its name and what came out."""
        now = time.perf_counter()
        self.write((name, text, 1000 * (now - self._since) if timed else None))
        self._since = time.perf_counter()

    def write(self, line: Line) -> None:
        """A line whose time in milliseconds has been taken already."""
        name, text, spent = line
        timing = "" if spent is None else f"{spent:,.1f} ms"
        room = WIDTH - NAME_WIDTH - len(timing) - 1
        text = " ".join(text.splitlines())
        text = text if len(text) <= room else f"{text[: room - 1]}…"
        self._put(name, f"{text:<{room + 1}}{timing}")

    def _put(self, name: str, text: str) -> None:
        if self._write is not None:
            self._write(f"{name:<{NAME_WIDTH}}{text}".rstrip())

    @contextmanager
    def failing(self) -> Generator[None]:
        """Ends in the error of the step that fails, and what to do about it."""
        try:
            yield
        except Exception as error:
            known = isinstance(error, WigglyError)
            parts = [
                ("fails", f"{error.rule};" if known else f"{type(error).__name__}: {error}"),
                ("", f"{error.received}." if known else ""),
                ("fix", error.fix if known else ""),
            ]
            for name, text in parts:
                for k, line in enumerate(_wrapped(text)):
                    self._put("" if k else name, line)
            raise


def walk(dataset: Dataset, steps: Steps) -> None:
    """Tells what becomes of the first readable sample, step by step.

    Raises:
        DataError: Whatever step fails; `ItemError` if none of the first 50 items can be read.
    """
    skipped: list[ItemError] = []
    lines: list[Line] = []
    for position in range(min(len(dataset), MOST_TRIED)):
        lines = []
        try:
            for line in _sample(dataset, position, skipped):
                lines.append(line)
            break
        except ItemError as error:
            skipped.append(error)
        except Exception:
            _write(steps, lines)
            raise
    _write(steps, lines)
    if len(skipped) == min(len(dataset), MOST_TRIED):
        raise skipped[0]


def _write(steps: Steps, lines: Sequence[Line]) -> None:
    """Lines, those of transforms that leave the same sizes joined as long as they fit."""
    joined: list[Line] = []
    for name, text, spent in lines:
        before, (made, _, size) = joined[-1] if joined else ("", "", None), text.rpartition(": ")
        others, _, same = before[1].rpartition(": ")
        fits = len(others) + len(text) + 2 <= WIDTH - NAME_WIDTH - 10
        if name == "change" == before[0] and size == same and fits:
            joined[-1] = name, f"{others}, {made}: {size}", (before[2] or 0) + (spent or 0)
        else:
            joined.append((name, text, spent))
    for line in joined:
        steps.write(line)


def _wrapped(text: str) -> list[str]:
    # A path stays in one piece, so that it can be copied.
    return textwrap.wrap(text, WIDTH - NAME_WIDTH, break_long_words=False, break_on_hyphens=False)


def _sample(dataset: Dataset, position: int, skipped: Sequence[ItemError]) -> Iterator[Line]:
    """The steps of one sample as lines, each after it was done."""
    yield "sample", f"'{dataset.item_name(position)}'", None
    if skipped:
        yield "", f"{len(skipped)} before it cannot be read: '{skipped[0].item}': {skipped[0].reason}", None
    since = time.perf_counter()

    def spent() -> float:
        nonlocal since
        before, since = since, time.perf_counter()
        return 1000 * (since - before)

    names = _side_names(dataset)
    for side, name in enumerate(names):
        raw = dataset.raw(position, side)
        known = dataset.raws[side] is not None  # read when the blocks were fitted
        getter = dataset.getters[side]
        said = "the item" if getter is identity else f"{function_name(getter)} gives {brief(raw)}"
        yield name, said, None if known or getter is identity else spent()
    values = dataset.load(position)
    unit = " (height × width)" if any(map(_has_size, values)) else ""
    yield "load", f"{', '.join(map(brief, values))}{unit}", spent()
    random = item_seed(0, LOOKING, position)
    for transform in dataset.item_tfms:
        if is_active(transform, dataset.train):
            values = dataset.transformed(transform, values, position, random)
            changed = [brief(v) for side, v in enumerate(values) if side < dataset.n_inp or _has_size(v)]
            yield "change", f"{transform_names([transform])[0]}: {', '.join(changed)}", spent()
    for name, block, value in zip(names, dataset.blocks, values, strict=True):
        encoded = block.encode(value)
        yield name, f"{block.name} encodes {brief(encoded)}", spent()


def batch_of(dataset: Dataset, batch_tfms: Sequence[Any], bs: int, steps: Steps) -> tuple[DataLoader, Batch]:
    """Collates the first readable samples and tells the shapes."""
    loader = DataLoader(dataset, bs, num_workers=0, batch_tfms=batch_tfms, seed=0, max_bad=1.0)
    batch = loader.look(bs)
    sides = zip(_side_names(dataset), batch.tensors, strict=True)
    shapes = [f"{name} {_shape(tensor)}" for name, tensor in sides]
    steps.tell("batch", f"{', '.join(shapes[:3])} ({len(batch)} items)")
    for first in range(3, len(shapes), 3):
        steps.tell("", ", ".join(shapes[first : first + 3]), timed=False)
    return loader, batch


def _side_names(dataset: Dataset) -> list[str]:
    """`x` and `y`, or `x1`, `x2`, ... where there are several."""
    n_inp, n = dataset.n_inp, len(dataset.blocks)
    inputs = ["x"] if n_inp == 1 else [f"x{k + 1}" for k in range(n_inp)]
    return inputs + (["y"] if n - n_inp == 1 else [f"y{k + 1}" for k in range(n - n_inp)])


def _has_size(value: Any) -> bool:
    return isinstance(getattr(value, "size", None), tuple)


def _shape(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def brief(value: Any) -> str:
    """A value in a few words: `image 375×500` (height × width), `(3, 224, 224) float32`, `'cat'`.

    Example:
        >>> brief(np.zeros((2, 3))), brief("cat"), brief(Path("a/b.jpg"))
        ('array (2, 3) float64', "'cat'", "'a/b.jpg'")
    """
    if type(value) is Row:
        names = ", ".join(map(str, value.index))
        return f"a row with {names}" if len(names) < 60 else f"a row of {len(value)} columns"
    if isinstance(value, Image.Image):
        return f"picture {value.height}×{value.width} {value.mode}"
    if isinstance(value, Tensor):
        return _shape(value) if value.ndim else f"{value.item():g} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value):,} bytes"
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {value.dtype}"
    if _has_size(value):
        noun = type(value).__name__.removeprefix("Lazy").lower()
        return f"{noun} {value.size[0]}×{value.size[1]}"
    text = f"'{value}'" if isinstance(value, Path) else repr(value)
    return text if len(text) <= 60 else f"{text[:40]}…{text[-18:]}"


def describe(thing: Any) -> str:
    """A source or a splitter in words.

    Example:
        >>> describe([1, 2]), describe(Path("photos"))
        ('a list of 2', "'photos'")
    """
    if isinstance(thing, (str, Path)):
        return f"'{thing}'"
    if nw.dependencies.is_into_dataframe(thing):
        return f"a table of {len(thing):,} rows"
    if isinstance(thing, Sequence):
        return f"a list of {len(thing):,}"  # pyright: ignore[reportUnknownArgumentType]
    settings = {k: v for k, v in vars(thing).items() if v is not None} if hasattr(thing, "__dict__") else {}
    inner = ", ".join(f"{k}={v!r}" for k, v in settings.items() if isinstance(v, (int, float, str)))
    if inner and not hasattr(thing, "__name__"):
        return f"{type(thing).__name__}({inner})"
    return function_name(thing)
