"""`TabularPandas`: a table split, encoded and ready, as loaders for a network or as arrays for scikit-learn.

In: a table, its columns and a split. Out: encoded rows, training first. The user's table is never changed.
Read next: `loaders.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wiggly.data.blocks import Block, CategoryBlock
from wiggly.data.split import check_split
from wiggly.errors import DataError
from wiggly.records import Split
from wiggly.tabular.checks import check_fitted
from wiggly.tabular.columns import Kinds, infer_kinds
from wiggly.tabular.encoder import Columns, Encoded, TableEncoder
from wiggly.tabular.loader import TableDataset
from wiggly.tabular.procs import as_procs
from wiggly.tabular.reading import Frame, as_frame, rows_as_frame
from wiggly.tabular.surprises import Surprises
from wiggly.tabular.targets import Targets, made_targets

__all__ = ["TabularPandas"]


class TabularPandas:
    """A table, encoded.

    Args:
        df: A pandas, polars or pyarrow table, or the path of a `.csv` or `.parquet` file.
        procs: Among `Categorify`, `FillMissing`, `Normalize`; None for all.
        cat_names: Columns of categories; with `cont_names` None too, both are inferred and printed.
        cont_names: Columns of numbers.
        y_names: Column(s) to predict; None for none.
        y_block: Their block; None takes labels for what is no number and for whole numbers with two values,
            numbers for the rest.
        splits: Positions of the training and validation rows, or a splitter; None trains on all.
        verbose: Print what was inferred, and what looks wrong (a leak, say); the latter stays in `notes`.

    Example:
        >>> import pandas as pd
        >>> from wiggly.tabular.procs import Categorify
        >>> df = pd.DataFrame({"city": ["Rome", "Oslo", "Rome"], "age": [30.0, 40, 50], "sold": list("yny")})
        >>> to = TabularPandas(df, [Categorify], ["city"], ["age"], y_names="sold", splits=([2, 1], [0]))
        >>> to.train.xs.values.tolist(), to.valid.y.tolist(), to.classes["city"]
        ([[2.0, 50.0], [1.0, 40.0]], [1], ['#na#', 'Oslo', 'Rome'])
    """

    def __init__(
        self,
        df: Any,
        procs: Sequence[Any] | None = None,
        cat_names: Sequence[str] | None = None,
        cont_names: Sequence[str] | None = None,
        y_names: str | Sequence[str] | None = None,
        y_block: Any = None,
        splits: Any = None,
        *,
        verbose: bool = True,
    ) -> None:
        columns = Columns(as_frame(df))
        self.procs = list(procs) if procs is not None else None
        self.targets = Targets([], []) if y_names is None else made_targets(columns, y_names, y_block)
        self.kinds = infer_kinds(columns, cat_names, cont_names, self.targets.columns)
        n = len(columns)
        if callable(splits):
            splits = splits(columns.frame.to_native())
        split = Split(range(n), []) if splits is None else check_split(splits, n)
        self.encoder = TableEncoder.fit(
            columns, self.kinds.categories, self.kinds.numbers, as_procs(procs), split.train
        )
        self.targets.fit(columns, split.train)
        self._columns, self._n_train = columns, len(split.train)
        self._kept: tuple[Encoded, tuple[Tensor, ...]] | None = None
        self._rows = np.concatenate([np.asarray(side, dtype=np.int64) for side in split])
        self.process()
        self.notes = check_fitted(columns, self.encoder, self.targets, split.train)
        columns.forget()
        if verbose:
            self._tell(inferred=cat_names is None and cont_names is None)

    @classmethod
    def of_parts(
        cls, frame: Any, encoder: TableEncoder, targets: Targets, kinds: Kinds, notes: Sequence[str] = ()
    ) -> TabularPandas:
        """A table whose columns were learnt elsewhere; all rows are for training.

        Args:
            frame: The table.
            encoder: Fitted.
            targets: Fitted.
            kinds: What the columns are.
            notes: What was found wrong with them.
        """
        made = cls.__new__(cls)
        made.procs, made.encoder, made.targets, made.kinds = None, encoder, targets, kinds
        made.notes, made._columns, made._kept = list(notes), Columns(as_frame(frame)), None
        made._n_train = len(made._columns)
        made._rows = np.arange(made._n_train)
        return made

    def _tell(self, inferred: bool) -> None:
        lines = [str(self.kinds)] if inferred else []
        lines += [self.targets.note] if self.targets.note else []
        for line in [*lines, *self.notes]:
            print(line)

    # Encoding

    @property
    def _encoded(self) -> tuple[Encoded, tuple[Tensor, ...]]:
        if self._kept is None:
            self.process()
        assert self._kept is not None
        return self._kept

    def process(self) -> None:
        """Encodes the rows now rather than when they are first asked for."""
        if self._kept is None:
            self._kept = self.encoder.encode(self._columns), self.targets.encode(self._columns)

    def new(self, df: Any, labelled: bool | None = None) -> TabularPandas:
        """New rows, encoded as these are.

        Args:
            df: A table with the same columns, one row, or a list of rows.
            labelled: Whether targets are read; None reads them where the table has their columns.
        """
        empty = isinstance(df, (list, tuple)) and not df
        frame = rows_as_frame({name: [] for name in self.encoder.column_names} if empty else df)
        made = TabularPandas.__new__(TabularPandas)
        made.__dict__.update(self.__dict__)
        made._kept = None
        made._columns, made._rows, made._n_train = Columns(frame), np.arange(len(frame)), len(frame)
        if labelled is None:
            labelled = all(name in frame.columns for name in self.targets.columns)
        made.targets = self.targets if labelled else Targets([], [])
        return made

    def with_targets(self, targets: Targets, encoded: Sequence[Tensor]) -> TabularPandas:
        """The same rows with other targets, e.g. predicted ones.

        Args:
            targets: Fitted.
            encoded: One tensor per target block.
        """
        made = self._side(self._rows)
        made.targets, made._kept = targets, (self._encoded[0], tuple(encoded))
        return made

    def dataset(self, rows: Any = None, labelled: bool = True) -> TableDataset:
        """Encoded rows for a loader.

        Args:
            rows: Positions in the table; None takes all rows in the table's order.
            labelled: With the targets.
        """
        encoded, targets = self._encoded
        targets = targets if labelled else ()
        if rows is None:
            index, surprises = torch.arange(len(encoded)), encoded.surprises
            return TableDataset(encoded.cats, encoded.conts, targets, index, surprises)
        index = torch.as_tensor(rows)
        parts = [tensor.index_select(0, index) for tensor in (encoded.cats, encoded.conts, *targets)]
        return TableDataset(parts[0], parts[1], tuple(parts[2:]), index, Surprises())

    def dataloaders(
        self,
        bs: int = 64,
        val_bs: int | None = None,
        shuffle: bool = True,
        path: str | Path = ".",
        device: str | torch.device | None = None,
        seed: int | None = None,
        wgts: Sequence[float] | None = None,
    ) -> Any:
        """`TabularDataLoaders` of the training and validation rows.

        Args:
            bs: Rows per training batch.
            val_bs: Rows per validation batch; None takes 1024, or `bs` if that is more.
            shuffle: Whether training is shuffled (and its last, smaller batch left out).
            path: Folder where models are saved.
            device: Where the rows are kept; None for the best there is.
            seed: Of the order; None takes one from torch's global generator.
            wgts: For each row of the whole table how often it is drawn for training in comparison to the
                others, e.g. more often for a rare label; an epoch stays as long. None takes each row once.

        Raises:
            ArgumentError: `wgts` are not one number per row of the table.
            DataError: There is no target, or no validation row.
        """
        from wiggly.tabular.loaders import TabularDataLoaders

        return TabularDataLoaders.from_table(self, bs, val_bs, shuffle, path, device, seed, wgts=wgts)

    @property
    def column_names(self) -> list[str]:
        """All columns of the table as it was given."""
        return list(self._columns.frame.columns)

    def raw_column(self, name: str, rows: Sequence[int]) -> Any:
        """A column as it was given, a pandas column.

        Args:
            name: One of `column_names`, also one that is no input.
            rows: Positions in the table.
        """
        import pandas as pd

        values = self._columns.frame[name].to_list()
        return pd.Series([values[row] for row in rows], name=name)

    # Sides

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def split(self) -> Split:
        """Positions of the training and validation rows in the table."""
        return Split(self._rows[: self._n_train].tolist(), self._rows[self._n_train :].tolist())

    @property
    def train(self) -> TabularPandas:
        """The training rows."""
        return self._side(self._rows[: self._n_train])

    @property
    def valid(self) -> TabularPandas:
        """The validation rows."""
        return self._side(self._rows[self._n_train :])

    def _side(self, rows: Any) -> TabularPandas:
        self.process()  # once, for both sides
        made = TabularPandas.__new__(TabularPandas)
        made.__dict__.update(self.__dict__)
        made._rows, made._n_train = rows, len(rows)
        return made

    # What a person or scikit-learn reads

    @property
    def cat_names(self) -> list[str]:
        """Names of the categories, those that say where a number was missing at the end."""
        return self.encoder.cat_names

    @property
    def cont_names(self) -> list[str]:
        """Names of the numbers."""
        return self.encoder.cont_names

    @property
    def x_names(self) -> list[str]:
        """Names of the inputs, categories first."""
        return self.cat_names + self.cont_names

    @property
    def y_names(self) -> list[str]:
        """Names of the columns to predict."""
        return self.targets.columns

    @property
    def classes(self) -> dict[str, Any]:
        """The values of each category by code."""
        return self.encoder.classes

    @property
    def vocab(self) -> Any:
        """Labels of the target; a list where several have some."""
        found = [block.vocab for block in self.targets.blocks if block.vocab is not None]
        return found[0] if len(found) == 1 else found

    @property
    def cats(self) -> Any:
        """Codes of the categories, a pandas table."""
        return self._table(self._encoded[0].cats, self.cat_names)

    @property
    def conts(self) -> Any:
        """Encoded numbers, a pandas table."""
        return self._table(self._encoded[0].conts, self.cont_names)

    @property
    def xs(self) -> Any:
        """All inputs, a pandas table for scikit-learn."""
        import pandas as pd

        return pd.concat([self.cats, self.conts], axis=1)

    @property
    def ys(self) -> Any:
        """Encoded targets, a pandas table."""
        import pandas as pd

        found: dict[str, Any] = {}
        for names, block, target in zip(
            self.targets.names, self.targets.blocks, self._encoded[1], strict=True
        ):
            values = target.numpy()[self._rows]
            table = values.reshape(len(values), -1)
            labels: Sequence[Any] = names
            if table.shape[1] != len(names):
                labels = list(block.vocab or range(table.shape[1]))
            found.update({str(label): table[:, k] for k, label in enumerate(labels)})
        return pd.DataFrame(found, index=self._index())

    @property
    def y(self) -> Any:
        """The (first) encoded target, a pandas column."""
        if not self.targets.blocks:
            raise DataError("`y` needs a target", "`y_names` was not given", "Name it.")
        return self.ys.iloc[:, 0]

    @property
    def items(self) -> Any:
        """Inputs and targets, encoded, a pandas table."""
        import pandas as pd

        return pd.concat([self.xs, self.ys], axis=1) if self.targets.blocks else self.xs

    @property
    def frame(self) -> Frame:
        """The user's table, as it was given."""
        return self._columns.frame

    @property
    def surprises(self) -> Surprises:
        """What the table holds that the training rows did not."""
        return self._encoded[0].surprises

    def _table(self, tensor: Tensor, names: Sequence[str]) -> Any:
        import pandas as pd

        return pd.DataFrame(tensor.numpy()[self._rows], columns=list(names), index=self._index())

    def _index(self) -> Any:
        native: Any = self._columns.frame.to_native()
        return native.index[self._rows] if hasattr(native, "iloc") else self._rows

    def decode(self) -> Any:
        """The rows as a person reads them, a pandas table."""
        index = torch.from_numpy(self._rows)
        encoded, targets = self._encoded
        found = decoded_table(
            self.encoder, self.targets, encoded.cats[index], encoded.conts[index], [t[index] for t in targets]
        )
        return found.set_axis(self._index())

    def decode_row(self, row: Any) -> Any:
        """An encoded row as a person reads it, a pandas row.

        Args:
            row: A row of `items` or `xs`.
        """
        cats = torch.tensor([[int(row[name]) for name in self.cat_names]])
        conts = torch.tensor([[float(row[name]) for name in self.cont_names]])
        single = len(self.y_names) == len(self.targets.blocks) and all(n in row.index for n in self.y_names)
        targets = [torch.tensor([row[name]]) for name in self.y_names] if single else []
        return decoded_table(self.encoder, self.targets, cats, conts, targets).iloc[0]

    def show(self, max_n: int = 10) -> None:
        """Prints rows as a person reads them, as a table in notebooks.

        Args:
            max_n: At most this many.
        """
        from wiggly.tabular.show import show_table

        show_table(self.decode().head(max_n))

    def __repr__(self) -> str:
        n, n_valid = f"{len(self):,}", len(self) - self._n_train
        rows = f"{self._n_train:,} training and {n_valid:,} validation rows" if n_valid else f"{n} rows"
        return f"TabularPandas({rows}, {self.encoder!r})"


def decoded_table(
    encoder: TableEncoder,
    targets: Targets,
    cats: Tensor,
    conts: Tensor,
    encoded: Sequence[Tensor],
) -> Any:
    """Inputs and targets as a person reads them.

    Args:
        encoder: Of the inputs.
        targets: Of what is predicted.
        cats: int64 `(n, k)`.
        conts: float32 `(n, m)`.
        encoded: One tensor per target block; empty for none.
    """
    table = encoder.decode(cats, conts)
    for names, block, target in zip(targets.names, targets.blocks, encoded, strict=False):
        for name, values in decoded_target(names, block, target).items():
            table[name] = values
    return table


def decoded_target(names: Sequence[str], block: Block, target: Tensor) -> dict[str, list[Any]]:
    """The values of a target's columns, as a person reads them."""
    values = [block.decode(row) for row in target.cpu()]
    if len(names) == 1:
        return {names[0]: values}
    if isinstance(block, CategoryBlock):  # several labels in columns of zeros and ones
        return {name: [name in labels for labels in values] for name in names}
    return {name: [value[k] for value in values] for k, name in enumerate(names)}
