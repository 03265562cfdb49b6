"""`TableEncoder`: what was learnt about the columns, by which a table becomes tensors, and tensors a table.

In: a table. Out: `cats` int64 `(n, k)` and `conts` float32 `(n, m)`, whole columns at once. The encoder is
plain data: vocabularies, fills, means; a bundle carries its `config()`. Read next: `table.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wiggly.data.vocab import Vocab
from wiggly.errors import BundleError, DataError
from wiggly.tabular.fields import CategoryColumn, NumberColumn
from wiggly.tabular.procs import Procs, as_procs
from wiggly.tabular.reading import Codes, Frame, Numbers, as_frame, check_columns, factorised, numbers_of
from wiggly.tabular.surprises import Surprises

__all__ = ["Columns", "Encoded", "TableEncoder"]

Rows = npt.NDArray[np.int64]


class Columns:
    """A table whose columns are read once each, however often they are asked for.

    Args:
        frame: The table.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._codes: dict[str, Codes] = {}
        self._numbers: dict[str, Numbers] = {}

    def __len__(self) -> int:
        return len(self.frame)

    def forget(self) -> None:
        """Gives back the memory of what was read."""
        self._codes.clear()
        self._numbers.clear()

    def codes(self, name: str) -> Codes:
        """A column as codes of its values."""
        if name not in self._codes:
            self._codes[name] = factorised(self.frame[name])
        return self._codes[name]

    def numbers(self, name: str) -> Numbers:
        """A column as numbers."""
        if name not in self._numbers:
            self._numbers[name] = numbers_of(self.frame[name])
        return self._numbers[name]


@dataclass(frozen=True)
class Encoded:
    """A table as tensors.

    Attributes:
        cats: Codes of the categories, int64 `(n, k)`.
        conts: Numbers, float32 `(n, m)`.
        surprises: What the training rows did not have.
    """

    cats: Tensor
    conts: Tensor
    surprises: Surprises = field(default_factory=Surprises)

    def __len__(self) -> int:
        return len(self.cats)


class TableEncoder:
    """The columns of a table and how each becomes a number.

    Args:
        categories: Columns of categories, in the order of `cats`; those that say where a number was missing
            come last.
        numbers: Columns of numbers, in the order of `conts`.

    Example:
        >>> encoder = TableEncoder.fit({"city": ["Rome", "Oslo"], "age": [30.0, 40.0]}, ["city"], ["age"])
        >>> encoder.encode({"city": ["Rome", "Paris"], "age": [35.0, None]}).cats.tolist()
        [[2], [0]]
        >>> encoder.decode(torch.tensor([[1]]), torch.tensor([[1.0]])).to_dict("records")
        [{'city': 'Oslo', 'age': 40.0}]
    """

    def __init__(self, categories: Sequence[CategoryColumn], numbers: Sequence[NumberColumn]) -> None:
        self.categories, self.numbers = list(categories), list(numbers)

    @classmethod
    def fit(
        cls,
        table: Any,
        cat_names: Sequence[str] = (),
        cont_names: Sequence[str] = (),
        procs: Sequence[Any] | Procs | None = None,
        rows: Sequence[int] | None = None,
    ) -> TableEncoder:
        """Learns vocabularies, fills, means and standard deviations.

        Args:
            table: A table, the path of one, or `Columns`.
            cat_names: Columns of categories.
            cont_names: Columns of numbers.
            procs: See `as_procs`; None for all.
            rows: Positions of the training rows; None for all.

        Raises:
            ArgumentError: A column is not there, or named twice.
            DataError: A column of numbers holds something else, or lacks some and `procs` has no
                `FillMissing`.
        """
        columns = table if isinstance(table, Columns) else Columns(as_frame(table))
        check_columns(columns.frame, [*cat_names, *cont_names], "`cat_names` and `cont_names`")
        settings = procs if isinstance(procs, Procs) else as_procs(procs)
        chosen = None if rows is None else np.asarray(rows, dtype=np.int64)
        categories = [CategoryColumn.fit(name, columns.codes(name), chosen) for name in cat_names]
        numbers = [
            NumberColumn.fit(name, columns.frame[name].dtype, columns.numbers(name), settings, chosen)
            for name in cont_names
        ]
        return cls.with_flags(categories, numbers)

    @classmethod
    def with_flags(
        cls, categories: Sequence[CategoryColumn], numbers: Sequence[NumberColumn]
    ) -> TableEncoder:
        """An encoder whose numbers that may be missing have a category that says so."""
        taken = {column.name for column in (*categories, *numbers)}
        flags: list[CategoryColumn] = []
        for number in numbers:
            if number.flagged:
                name = f"{number.name}_na"
                while name in taken:
                    name += "_"
                taken.add(name)
                flags.append(CategoryColumn(name, Vocab(["#na#", False, True]), number.name))
        return cls([*categories, *flags], numbers)

    @property
    def cat_names(self) -> list[str]:
        """Names of the categories, in the order of `cats`."""
        return [column.name for column in self.categories]

    @property
    def cont_names(self) -> list[str]:
        """Names of the numbers, in the order of `conts`."""
        return [column.name for column in self.numbers]

    @property
    def column_names(self) -> list[str]:
        """The columns that a table must have."""
        return [c.name for c in self.categories if c.flag_of is None] + self.cont_names

    @property
    def classes(self) -> dict[str, Vocab]:
        """The values of each category by code; 0 is `#na#`."""
        return {column.name: column.vocab for column in self.categories}

    def encode(self, table: Any) -> Encoded:
        """A table as tensors, rows in its order.

        Args:
            table: A table with the columns of training (others are not looked at), the path of one, or
                `Columns`.

        Raises:
            ArgumentError: A column is not there.
            DataError: A column of numbers holds something else; the message has the row.
        """
        columns = table if isinstance(table, Columns) else Columns(as_frame(table))
        check_columns(columns.frame, self.column_names, "the columns of training")
        n, surprises = len(columns), Surprises()
        cats = np.empty((len(self.categories), n), dtype=np.int64)
        conts = np.empty((len(self.numbers), n), dtype=np.float32)
        for out, number in zip(conts, self.numbers, strict=True):
            number.encode(columns.numbers(number.name), out, surprises)
        for out, category in zip(cats, self.categories, strict=True):
            if category.flag_of is None:
                category.encode(columns.codes(category.name), out, surprises)
            else:
                out[:] = columns.numbers(category.flag_of).missing + 1
        return Encoded(
            torch.from_numpy(np.ascontiguousarray(cats.T)),
            torch.from_numpy(np.ascontiguousarray(conts.T)),
            surprises,
        )

    def decode(self, cats: Tensor, conts: Tensor) -> Any:
        """The pandas table that encodes to these tensors: categories as their values (`#na#` for code 0),
        numbers in their own unit, missing again where they were.

        Args:
            cats: int64 `(n, k)`.
            conts: float32 `(n, m)`.
        """
        import pandas as pd

        codes, values = cats.cpu().numpy(), conts.cpu().numpy()
        missing = {c.flag_of: codes[:, k] == 2 for k, c in enumerate(self.categories) if c.flag_of}
        found: dict[str, Any] = {}
        for k, category in enumerate(self.categories):
            if category.flag_of is None:
                found[category.name] = category.decode(codes[:, k])
        for k, number in enumerate(self.numbers):
            found[number.name] = number.decode(values[:, k], missing.get(number.name))
        return pd.DataFrame(found, index=range(len(codes)))

    def config(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "categories": [column.config() for column in self.categories],
            "numbers": [column.config() for column in self.numbers],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TableEncoder:
        """The encoder that a `config()` describes.

        Raises:
            BundleError: It describes none.
        """
        try:
            categories = [CategoryColumn.from_config(c) for c in config["categories"]]
            return cls(categories, [NumberColumn.from_config(c) for c in config["numbers"]])
        except (KeyError, TypeError, ValueError, AttributeError, DataError) as error:
            raise BundleError(
                "the encoder of a table must be written as this version of wiggly writes it",
                f"reading it fails with {type(error).__name__}: {error}",
                "Export the model again.",
            ) from error

    def __iter__(self) -> Iterator[CategoryColumn | NumberColumn]:
        yield from self.categories
        yield from self.numbers

    def __repr__(self) -> str:
        return f"TableEncoder({len(self.categories)} categories, {len(self.numbers)} numbers)"
