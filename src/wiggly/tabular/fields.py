"""One column each: a category with its vocabulary, a number with its fill, mean and standard deviation.

In: a whole column as codes or numbers. Out: a column of the tensors, and back. What is learnt is plain data.
Read next: `encoder.py`, which holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import narwhals as nw
import numpy as np
import numpy.typing as npt

from wiggly.data.vocab import MISSING, Vocab, is_missing, make_vocab
from wiggly.errors import DataError
from wiggly.tabular.packing import pack, unpack
from wiggly.tabular.procs import FillMissing, Procs
from wiggly.tabular.reading import LARGEST, Codes, Numbers, typed
from wiggly.tabular.surprises import Surprises

__all__ = ["CategoryColumn", "NumberColumn", "check_fill", "kind_of", "on_grid"]

Rows = npt.NDArray[np.int64] | None
EXACT = 2**53  # whole numbers beyond are not all float64


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories.

    Attributes:
        name: Of the column.
        vocab: Value by code; the first is `#na#`.
        flag_of: The column of numbers of which this one says where it lacks some; None for a column of the
            table.
    """

    name: str
    vocab: Vocab
    flag_of: str | None = None

    @classmethod
    def fit(cls, name: str, column: Codes, rows: Rows = None) -> Self:
        """The values among the training rows: sorted, or as the column's own type orders them."""
        _check_values(name, column.values)
        if column.ordered is not None:
            return cls(name, make_vocab(column.ordered, sort=False, add_na=True))
        codes = column.codes if rows is None else column.codes[rows]
        present = np.bincount(codes + 1, minlength=len(column.values) + 1)[1:]
        seen = [value for value, n in zip(column.values, present, strict=True) if n]
        return cls(name, make_vocab(seen, sort=True, add_na=True))

    def encode(self, column: Codes, out: npt.NDArray[np.int64], surprises: Surprises) -> None:
        """Writes the code of every row; 0 for what is missing or unseen."""
        known, unseen = np.zeros(len(column.values) + 1, dtype=np.int64), list[int]()
        for place, value in enumerate(column.values):
            if is_missing(value) or value == MISSING:
                continue
            code = self.vocab.o2i.get(value, 0)
            known[place + 1] = code
            if not code:
                unseen.append(place)
        np.take(known, column.codes + 1, out=out)
        if unseen:
            n = int(np.isin(column.codes, unseen).sum())
            if n:
                surprises.unseen[self.name] = n
            self._compare_types(column, len(unseen), surprises)

    def _compare_types(self, column: Codes, unseen: int, surprises: Surprises) -> None:
        """Whether no value is known because all are of another type, as numbers that were texts."""
        if unseen < len(column.values) or len(self.vocab) < 2:
            return
        here, there = (type(values[-1]).__name__ for values in (column.values, self.vocab))
        if here != there:
            surprises.types[self.name] = f"the values are {here}, in training they were {there}"

    def decode(self, codes: npt.NDArray[np.int64]) -> Any:
        """The values as a pandas column."""
        import pandas as pd

        values = np.empty(len(self.vocab), dtype=object)
        values[:] = list(self.vocab)
        return typed(pd.Series(values[codes], dtype=object))

    def config(self) -> dict[str, Any]:
        """JSON types; `#na#` is left out of the vocabulary."""
        return {"name": self.name, "vocab": [pack(v) for v in self.vocab[1:]], "flag_of": self.flag_of}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """What a `config()` describes."""
        flag_of, values = config["flag_of"], [unpack(v) for v in config["vocab"]]
        return cls(str(config["name"]), Vocab([MISSING, *values]), None if flag_of is None else str(flag_of))


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers; encoded as `(x - center - mean) / std`.

    Attributes:
        name: Of the column.
        kind: What its values are: "number", "integer", "boolean", "date" (seconds since 1970) or "duration"
            (seconds).
        fill: What a missing value is replaced by, in the column's unit.
        flagged: Whether training rows lack some, and a category says where.
        center: Subtracted exactly before anything is rounded; 0 unless the integers are larger than 2**53.
        mean: Of the rest.
        std: Standard deviation (divided by n); 1 for a column of one value.
        low: Smallest value among the training rows, in the column's unit.
        high: Largest.
    """

    name: str
    kind: str = "number"
    fill: float = 0.0
    flagged: bool = False
    center: int = 0
    mean: float = 0.0
    std: float = 1.0
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def fit(cls, name: str, dtype: Any, column: Numbers, procs: Procs, rows: Rows = None) -> Self:
        """Learns from the training rows.

        Raises:
            DataError: Some are missing and `procs` has no `FillMissing`.
        """
        values, missing = column.values, column.missing
        if rows is not None:
            values, missing = values[rows], missing[rows]
        lacks = bool(missing.any())
        check_fill(name, int(missing.sum()), procs)
        present = values[~missing] if lacks else values
        center = _center(present)
        shifted = less(present, center)
        fill = _filling(name, shifted, center, procs.fill)
        if not lacks:
            fill = on_grid(kind_of(dtype, column), fill)
        low, high = (float(shifted.min()), float(shifted.max())) if len(shifted) else (fill, fill)
        mean, std = 0.0, 1.0
        if procs.normalize and len(shifted):
            # The filled rows count too, as they do in training.
            n, lacking = len(shifted), int(missing.sum())
            mean = float((shifted.sum() + lacking * fill) / (n + lacking))
            squares = np.square(shifted - mean).sum() + lacking * (fill - mean) ** 2
            constant = shifted.min() == shifted.max() and (not lacking or fill == shifted[0])
            std = 1.0 if constant else float(np.sqrt(squares / (n + lacking))) or 1.0
        flagged = lacks and procs.fill is not None and procs.fill.add_col
        return cls(
            name,
            kind_of(dtype, column),
            fill + center,
            flagged,
            center,
            mean,
            std,
            low + center,
            high + center,
        )

    def encode(self, column: Numbers, out: npt.NDArray[np.float32], surprises: Surprises) -> None:
        """Writes the encoded number of every row."""
        values = less(column.values, self.center)
        lacking, infinite = int(column.missing.sum()), int(column.infinite.sum())
        if lacking:
            values[column.missing] = self.fill - self.center
        values -= self.mean
        values /= self.std
        np.clip(values, -LARGEST, LARGEST, out=values)
        out[:] = values
        if infinite:
            surprises.infinite[self.name] = infinite
        if lacking - infinite > 0 and not self.flagged:
            surprises.missing[self.name] = lacking - infinite

    def decode(self, encoded: npt.NDArray[np.float32], missing: npt.NDArray[np.bool_] | None = None) -> Any:
        """The numbers as a pandas column in their own unit.

        Args:
            encoded: float32 `(n,)`.
            missing: Where there was none.
        """
        import pandas as pd

        lacking = np.zeros(len(encoded), dtype=bool) if missing is None else missing
        values = encoded.astype(np.float64) * self.std + self.mean
        if self.kind == "date":
            stamps = np.rint(values * 1e6).astype("datetime64[us]")
            return pd.Series(np.where(lacking, np.datetime64("NaT", "us"), stamps))
        if self.kind == "duration":
            spans = np.rint(values * 1e6).astype("timedelta64[us]")
            return pd.Series(np.where(lacking, np.timedelta64("NaT", "us"), spans))
        if self.kind == "number":
            return pd.Series(np.where(lacking, np.nan, np.clip(values + self.center, -LARGEST, LARGEST)))
        rounded = zip(np.rint(values), lacking, strict=True)
        found = [None if gone else int(v) + self.center for v, gone in rounded]
        if self.kind == "boolean":
            found = [None if v is None else bool(v) for v in found]
        made = pd.Series(found, dtype=object)
        if not lacking.any():
            return made.infer_objects()
        huge = any(v is not None and abs(v) >= 2**63 for v in found)
        return made if huge else made.astype("boolean" if self.kind == "boolean" else "Int64")

    def config(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "name": self.name,
            "kind": self.kind,
            "fill": self.fill,
            "flagged": self.flagged,
            "center": pack(self.center),
            "mean": self.mean,
            "std": self.std,
            "low": self.low,
            "high": self.high,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """What a `config()` describes."""
        numbers = {name: float(config[name]) for name in ("fill", "mean", "std", "low", "high")}
        if not all(np.isfinite(list(numbers.values()))) or numbers["std"] <= 0:
            raise ValueError(f"column {config['name']!r} has {numbers}")
        center, flagged = int(unpack(config["center"])), bool(config["flagged"])
        return cls(str(config["name"]), str(config["kind"]), flagged=flagged, center=center, **numbers)


def kind_of(dtype: Any, column: Numbers) -> str:
    """What the values of a column of numbers are."""
    if isinstance(dtype, nw.Boolean):
        return "boolean"
    if isinstance(dtype, (nw.Datetime, nw.Date)):
        return "date"
    if isinstance(dtype, nw.Duration):
        return "duration"
    return "number" if column.values.dtype.kind == "f" else "integer"


def _check_values(name: str, values: Sequence[Any]) -> None:
    """Refuses values that a bundle could not hold, now rather than after the training."""
    try:
        for value in values:
            pack(value)
    except DataError as error:
        raise DataError(error.rule, f"in column {name!r} {error.received}", error.fix) from error


def on_grid(kind: str, fill: float) -> float:
    """A fill that a column of this kind can hold, so that a number filled later is decoded as itself: a whole
    one, or a time in whole microseconds; a median may lie between two."""
    if kind in ("date", "duration"):
        return float(np.floor(fill * 1e6)) / 1e6
    return fill if kind == "number" else float(np.floor(fill))


def check_fill(name: str, lacking: int, procs: Procs) -> None:
    """Refuses missing numbers where nothing fills them.

    Raises:
        DataError: There are some, and `procs` has no `FillMissing`.
    """
    if lacking and procs.fill is None:
        raise DataError(
            "a column of numbers must have no missing values unless `procs` has FillMissing",
            f"{name!r} lacks {lacking:,} in the training rows",
            "Add FillMissing to `procs`, or fill the column yourself.",
        )


def _center(values: npt.NDArray[Any]) -> int:
    if values.dtype.kind == "f" or not len(values):
        return 0
    low, high = int(values.min()), int(values.max())
    return 0 if max(abs(low), abs(high)) <= EXACT else (low + high) // 2


def less(values: npt.NDArray[Any], center: int) -> npt.NDArray[np.float64]:
    """The values minus a whole number, of which only the difference is rounded."""
    if not center:
        return values.astype(np.float64)
    if values.dtype.kind == "f":
        return values - float(center)
    return np.array([float(int(value) - center) for value in values], dtype=np.float64)


def _filling(name: str, values: npt.NDArray[np.float64], center: int, fill: FillMissing | None) -> float:
    """What a missing number is replaced by, less `center`; the median also where `procs` fills none, for new
    rows."""
    if fill is not None and fill.fill_strategy == "constant":
        return float(fill.fill_vals.get(name, 0.0)) - center
    if not len(values):
        return 0.0
    if fill is not None and fill.fill_strategy == "mode":
        distinct, counts = np.unique(values, return_counts=True)
        return float(distinct[counts.argmax()])
    return float(np.median(values))
