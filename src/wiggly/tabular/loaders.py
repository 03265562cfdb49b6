"""`TabularDataLoaders`: from a table to training and validation batches in one line.

In: a table or its file. Out: loaders whose rows are encoded once and kept on the device. Read next:
`learner.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from wiggly.data.edits.journal import Journal, opened_journal
from wiggly.data.loaders import DataLoaders, Origin, Recipe
from wiggly.data.split import IndexSplitter, RandomSplitter, Splitter
from wiggly.data.summary import describe
from wiggly.errors import ArgumentError, DataError
from wiggly.records import Batch
from wiggly.tabular.block import TableBlock
from wiggly.tabular.edited import edited_recipe, edited_table
from wiggly.tabular.loader import TableLoader
from wiggly.tabular.reading import as_frame
from wiggly.tabular.show import show_table
from wiggly.tabular.stream import TableStream
from wiggly.tabular.table import TabularPandas, decoded_table, decoded_target

__all__ = ["TabularDataLoaders"]

VALID_ROWS = 1024  # of a validation batch at least: results are the same, and it costs far less than 16 of 64


class TabularDataLoaders(DataLoaders):
    """Training and validation loader of a table; made by `from_df`, `from_csv` or `TabularPandas`.

    Args:
        train: Training loader.
        valid: Validation loader.
        table: What they were made of: encoder, targets, split.
        path: Folder where models are saved.
        device: Where the rows are kept; None takes the best there is.
        recipe: How the loaders came about.
    """

    loader_class: ClassVar[type[TableLoader]] = TableLoader

    def __init__(
        self,
        train: Any,
        valid: Any,
        table: TabularPandas,
        path: str | Path = ".",
        device: str | torch.device | None = None,
        *,
        recipe: Recipe | None = None,
    ) -> None:
        self.table = table
        blocks = [TableBlock(table.encoder), *table.targets.blocks]
        super().__init__(train, valid, path, device, blocks=blocks, n_inp=1, recipe=recipe)

    @classmethod
    def from_df(
        cls,
        df: Any,
        path: str | Path = ".",
        procs: Sequence[Any] | None = None,
        cat_names: Sequence[str] | None = None,
        cont_names: Sequence[str] | None = None,
        y_names: str | Sequence[str] | None = None,
        y_block: Any = None,
        valid_idx: Iterable[int] | None = None,
        bs: int = 64,
        val_bs: int | None = None,
        shuffle: bool = True,
        device: str | torch.device | None = None,
        *,
        valid_pct: float = 0.2,
        seed: int | None = None,
        splitter: Splitter | None = None,
        verbose: bool = True,
        edits: str | Path | Journal | None = None,
    ) -> TabularDataLoaders:
        """Loaders of a table.

        Args:
            df: A pandas, polars or pyarrow table, or the path of a `.csv` or `.parquet` file.
            path: Folder where models are saved.
            procs: Among `Categorify`, `FillMissing`, `Normalize`; None for all.
            cat_names: Columns of categories; with `cont_names` None too, both are inferred and printed.
            cont_names: Columns of numbers.
            y_names: Column(s) to predict.
            y_block: See `TabularPandas`.
            valid_idx: Positions of the validation rows; None draws them.
            bs: Rows per training batch.
            val_bs: Rows per validation batch; None takes 1024, or `bs` if that is more.
            shuffle: Whether training is shuffled.
            device: Where the rows are kept; None for the best there is.
            valid_pct: Share of validation rows that are drawn.
            seed: Of the split and the order.
            splitter: Table to positions, instead of `valid_idx` and `valid_pct`.
            verbose: Print what was inferred, and what looks wrong (a leak, say); it stays in `table.notes`.
            edits: A journal of edits, or its path (below `path`, else below the working folder): rows that
                were deleted are left out, others get their new label. The split is drawn on all rows, so
                that it stays the same. See `dls.edits`.

        Raises:
            ArgumentError: A column is not there.
            DataError: The table cannot be used; the message has the column and the row.

        Example:
            >>> table = {"city": ["Rome", "Oslo"] * 10, "age": range(20), "sold": ["yes", "no"] * 10}
            >>> dls = TabularDataLoaders.from_df(table, y_names="sold", cat_names=["city"],
            ...     cont_names=["age"], bs=8, seed=0, verbose=False)
            >>> cats, conts, y = dls.one_batch()
            >>> cats.shape, conts.shape, y.shape, dls.vocab
            (torch.Size([8, 1]), torch.Size([8, 1]), torch.Size([8]), ['no', 'yes'])
        """
        source, frame = describe(df), as_frame(df)
        if valid_idx is not None and splitter is not None:
            raise ArgumentError(
                "`valid_idx` and `splitter` both say which rows are for validation",
                "both are given",
                "Pass one of them.",
            )
        if y_names is None:
            raise ArgumentError(
                "`y_names` must name the column to predict", "it is None", f"It is one of {frame.columns}."
            )
        if valid_idx is not None:
            splitter = IndexSplitter(valid_idx)
        splitter = splitter or RandomSplitter(valid_pct, seed)
        if len(frame) < 2:
            raise DataError(
                "a table must have at least 2 rows, one to train and one to validate on",
                f"it has {len(frame)}",
                "Pass more rows.",
            )
        split, plan, whole = splitter(frame.to_native()), None, frame
        if edits is not None:
            frame, split, plan = edited_table(frame, split, y_names, y_block, edits, path)
        table = TabularPandas(frame, procs, cat_names, cont_names, y_names, y_block, split, verbose=verbose)
        recipe = edited_recipe(source, describe(splitter), path, whole, split, plan)
        if plan is not None:
            plan.warn()
        return cls.from_table(table, bs, val_bs, shuffle, path, device, seed, recipe)

    @classmethod
    def from_csv(
        cls,
        csv: str | Path,
        path: str | Path = ".",
        procs: Sequence[Any] | None = None,
        cat_names: Sequence[str] | None = None,
        cont_names: Sequence[str] | None = None,
        y_names: str | Sequence[str] | None = None,
        y_block: Any = None,
        valid_idx: Iterable[int] | None = None,
        bs: int = 64,
        val_bs: int | None = None,
        shuffle: bool = True,
        device: str | torch.device | None = None,
        *,
        skipinitialspace: bool = True,
        valid_pct: float = 0.2,
        seed: int | None = None,
        splitter: Splitter | None = None,
        verbose: bool = True,
        edits: str | Path | Journal | None = None,
    ) -> TabularDataLoaders:
        """Loaders of a CSV file.

        Args:
            csv: The file.
            path: Folder where models are saved.
            procs: As for `from_df`, like all that follow.
            cat_names: Columns of categories.
            cont_names: Columns of numbers.
            y_names: Column(s) to predict.
            y_block: Their block.
            valid_idx: Positions of the validation rows.
            bs: Rows per training batch.
            val_bs: Rows per validation batch.
            shuffle: Whether training is shuffled.
            device: Where the rows are kept.
            skipinitialspace: Whether blanks after a comma are no part of the value.
            valid_pct: Share of validation rows.
            seed: Of the split and the order.
            splitter: Table to positions.
            verbose: Print what was inferred, and what looks wrong (a leak, say); it stays in `table.notes`.
            edits: The journal, or its path: beside the file, else below the working folder.

        Raises:
            StorageError: The file is not there.
        """
        from wiggly.tabular.files import read_csv

        made = cls.from_df(
            read_csv(Path(csv), skipinitialspace),
            path,
            procs,
            cat_names,
            cont_names,
            y_names,
            y_block,
            valid_idx,
            bs,
            val_bs,
            shuffle,
            device,
            valid_pct=valid_pct,
            seed=seed,
            splitter=splitter,
            verbose=verbose,
            edits=None if edits is None else opened_journal(edits, Path(csv).parent),
        )
        made.remember_source(f"'{csv}'", Path(csv).parent)
        return made

    @classmethod
    def from_parquet(
        cls,
        files: str | Path | Sequence[str | Path],
        path: str | Path = ".",
        procs: Sequence[Any] | None = None,
        cat_names: Sequence[str] | None = None,
        cont_names: Sequence[str] | None = None,
        y_names: str | Sequence[str] | None = None,
        y_block: Any = None,
        bs: int = 1024,
        val_bs: int | None = None,
        shuffle: bool = True,
        device: str | torch.device | None = None,
        *,
        valid_pct: float = 0.2,
        seed: int | None = None,
        verbose: bool = True,
        buffer_rows: int = 1 << 17,
        edits: str | Path | Journal | None = None,
    ) -> TabularDataLoaders:
        """Loaders of parquet files that need not fit into memory: the encoder is fitted in one pass, and in
        every epoch the row groups are read again, in a new order. Integers above 2**53 lose their last
        digits here. A table that fits into memory trains faster by `from_df`.

        Args:
            files: A parquet file, a folder of them (also one of `year=2024/` folders, whose names are
                columns), a pattern such as `rows/*.parquet`, or a list.
            path: As for `from_df`, like all others without a line of their own.
            procs: Medians come from about 200,000 training rows where there are more.
            cat_names: Columns of categories; where inferred, from 100,000 rows of all files.
            cont_names: Columns of numbers.
            y_names: Column(s) to predict.
            y_block: Their block.
            bs: Rows per training batch.
            val_bs: Rows per validation batch.
            shuffle: Row groups come in random order, and of as many groups as hold `buffer_rows` the rows
                are shuffled together.
            device: Where batches go.
            valid_pct: Share of validation rows; every row is drawn by itself.
            seed: Of the split and the order.
            verbose: Print what was inferred, and what looks wrong (a leak, say); it stays in `table.notes`.
            buffer_rows: Rows that are shuffled together; two such buffers are in memory.
            edits: The journal, or its path: beside the files, else below the working folder. One more pass
                finds its rows.

        Raises:
            StorageError: A file is not there.
            DataError: A column or a file cannot be used.
        """
        from wiggly.tabular.streaming import stream_table

        if y_names is None:
            raise ArgumentError("`y_names` must name the column to predict", "it is None", "Name it.")
        return stream_table(
            files,
            y_names,
            path,
            procs,
            cat_names,
            cont_names,
            y_block,
            bs,
            val_bs,
            shuffle,
            device,
            valid_pct,
            seed,
            verbose,
            buffer_rows,
            edits,
        )

    @classmethod
    def from_table(
        cls,
        table: TabularPandas,
        bs: int = 64,
        val_bs: int | None = None,
        shuffle: bool = True,
        path: str | Path = ".",
        device: str | torch.device | None = None,
        seed: int | None = None,
        recipe: Recipe | None = None,
        wgts: Sequence[float] | None = None,
    ) -> TabularDataLoaders:
        """Loaders of an encoded table; `TabularPandas.dataloaders` explains the arguments.

        Raises:
            ArgumentError: `wgts` are not one number per row of the table.
            DataError: There is no target, or no validation row.
        """
        split = table.split
        drawn = None if wgts is None else _training_weights(wgts, table)
        if not table.targets.blocks or not split.valid:
            raise DataError(
                "loaders need a target and validation rows",
                "there is no target" if split.valid else "all rows are for training",
                "Pass `y_names`, and `splits`, e.g. RandomSplitter()(df), to TabularPandas.",
            )
        rows = table.dataset(split.train)
        train = cls.loader_class(rows, bs, shuffle, drop_last=shuffle, seed=seed, wgts=drawn)
        valid = cls.loader_class(table.dataset(split.valid), val_bs or max(bs, VALID_ROWS), seed=train.seed)
        whole = Origin(table.frame, split, split, path)
        return cls(train, valid, table, path, device, recipe=recipe or Recipe("a table", origin=whole))

    # What DataLoaders does, for loaders of this kind

    @property
    def embs(self) -> list[tuple[int, int]]:
        """For each category its number of values, `#na#` included, and the width of its embedding."""
        from wiggly.tabular.models import emb_sz_rule

        return [(len(values), emb_sz_rule(len(values))) for values in self.table.classes.values()]

    @property
    def classes(self) -> Any:
        """The values of each category by code."""
        return self.table.classes

    @property
    def cat_names(self) -> list[str]:
        """Names of the categories."""
        return self.table.cat_names

    @property
    def cont_names(self) -> list[str]:
        """Names of the numbers."""
        return self.table.cont_names

    @property
    def y_names(self) -> list[str]:
        """Names of the columns to predict."""
        return self.table.y_names

    def to(self, device: str | torch.device) -> TabularDataLoaders:
        """Keeps the rows on a device."""
        self.device = torch.device(device)
        for loader in self.loaders:
            loader.to(self.device)
        return self

    def look(self, n: int | None = None) -> Batch:
        return self.train.look(n)

    def one_batch(self) -> tuple[Tensor, ...]:
        """A training batch `(cats, conts, y)`: int64 `(n, k)`, float32 `(n, m)`, the target."""
        return self.look().tensors

    def show_batch(
        self,
        b: tuple[Tensor, ...] | None = None,
        max_n: int = 10,
        nrows: int | None = None,
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
        unique: bool = False,
    ) -> None:
        """Prints rows of a training batch as a person reads them.

        Args:
            b: A batch; None takes a new one.
            max_n: At most this many rows.
            nrows: Not used: there are no pictures. Nor are the arguments that follow.
            ncols: Not used.
            figsize: Not used.
            unique: Not used.
        """
        cats, conts, *targets = self.look(max_n).tensors if b is None else b
        parts = [target[:max_n] for target in targets]
        show_table(decoded_table(self.table.encoder, self.table.targets, cats[:max_n], conts[:max_n], parts))

    def looked_at(self, loader: TableLoader | TableStream, n: int, draw: int | None = None) -> Batch:
        """Rows of a loader for looking at.

        Args:
            loader: Any of this kind.
            n: How many.
            draw: Number of the draw; None takes the first rows.
        """
        if draw is None:
            return loader.in_order().look(n)
        other = loader.new(shuffle=True)
        other.seed = loader.seed + draw
        return other.look(n)

    def show_results(
        self,
        inputs: Sequence[Tensor],
        targets: Sequence[Tensor],
        predicted: Sequence[Tensor],
        max_n: int = 10,
    ) -> None:
        """Prints rows with their targets and, as `<target>_pred`, what is predicted.

        Args:
            inputs: `(cats, conts)`.
            targets: One tensor per target block; empty for unlabelled rows.
            predicted: Encoded predictions, one tensor per target block.
            max_n: At most this many rows.
        """
        made = self.table.targets
        cats, conts = (tensor[:max_n].cpu() for tensor in inputs)
        table = decoded_table(self.table.encoder, made, cats, conts, [t[:max_n] for t in targets])
        for names, block, encoded in zip(made.names, made.blocks, predicted, strict=True):
            for name, values in decoded_target(names, block, encoded[:max_n]).items():
                table[f"{name}_pred"] = values
        show_table(table)

    def show(self, max_n: int = 10) -> None:
        """Prints training rows as a person reads them; see `show_batch`."""
        self.show_batch(max_n=max_n)

    def test_dl(
        self,
        test_items: Any,
        with_labels: bool = False,
        bs: int | None = None,
        num_workers: int | None = None,
    ) -> Any:
        """A loader of new rows, in their order.

        Values that training did not have are `#na#`, numbers that are missing are filled; `surprises` of the
        loader counts them, and they are printed unless it is a single row.

        Args:
            test_items: A table with the columns of training, its file, or a list of rows.
            with_labels: Also read the targets.
            bs: Rows per batch; None takes that of validation.
            num_workers: Not used: batches are look-ups.

        Raises:
            ArgumentError: A column is not there.
            DataError: A column of numbers holds something else; the message has the row.
        """
        new = self.table.new(test_items)
        if with_labels and not new.targets.blocks:
            raise ArgumentError(
                "`with_labels` needs the targets among the columns",
                f"{self.y_names} are not all there",
                "Leave it out, or add them.",
            )
        dataset = new.dataset(labelled=with_labels)
        if dataset.surprises and len(dataset) > 1:
            print(dataset.surprises)
        loader = self.loader_class(dataset, self.valid.bs if bs is None else bs, seed=self.valid.seed)
        return loader.to(self.device)

    def remember_source(self, source: str, folder: str | Path) -> None:
        """Keeps where the table came from, in words, for reports, and where its edits are looked for."""
        from dataclasses import replace

        origin = self.origin if self.origin is None else replace(self.origin, folder=folder)
        self._recipe = replace(self._recipe, source=source, folder=folder, origin=origin)

    def recipe(self) -> dict[str, Any]:
        """What a report says about the data; only JSON types."""
        own = [category.name for category in self.table.encoder.categories if category.flag_of is None]
        kinds = {"categories": own, "numbers": self.cont_names, "targets": self.y_names}
        return {**super().recipe(), "columns": kinds, "notes": list(self.table.notes)}

    def _own(self, loader: Any, what: str) -> Any:
        return cast("TableLoader", loader)

    def _with(self, train: Any, valid: Any) -> TabularDataLoaders:
        return TabularDataLoaders(train, valid, self.table, self.path, self.device, recipe=self._recipe)


def _training_weights(wgts: Sequence[float], table: TabularPandas) -> list[float]:
    """The weights of the training rows, of those of all rows."""
    every = list(wgts)
    if len(every) != len(table):
        raise ArgumentError(
            "`wgts` must have one number for each row of the table",
            f"there are {len(every):,} for {len(table):,} rows",
            "Make them of a column of the whole table; those of validation rows are not used.",
        )
    return [every[row] for row in table.split.train]
