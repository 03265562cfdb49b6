"""Both loaders together, with what was learnt about the data: `dls.train`, `dls.valid`, `dls.vocab`.

In: a training and a validation loader, and the recipe they came from. Out: what a Learner and a person ask of
them. Read next: `block.py`, which builds this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from wiggly.data.blocks import Block, Vocab
from wiggly.data.cache.store import Cache
from wiggly.data.dataset import Dataset
from wiggly.data.items import TableItems, as_items
from wiggly.data.loader import DataLoader, batches_of
from wiggly.data.loading import LoadingOptions, make_loaders
from wiggly.data.shards.rows import ShardRows
from wiggly.data.shards.source import Source
from wiggly.data.shards.stream import ShardDataset
from wiggly.data.transform import transform_names
from wiggly.errors import ArgumentError, DataError
from wiggly.records import Batch, Split

if TYPE_CHECKING:
    from wiggly.data.edits.plan import EditSummary
    from wiggly.data.profiling.diagnosis import Profile
    from wiggly.vision.check import DataCheck

__all__ = ["DataLoaders", "Origin", "Recipe", "default_device"]


def default_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@dataclass(frozen=True)
class Origin:
    """All items behind loaders, those included that edits left out: what other edits are applied to.

    Attributes:
        items: The items, or the table.
        drawn: Their split as it was drawn.
        split: The split that the loaders have, after edits.
        folder: The data's, where a journal of edits is looked for.
    """

    items: Any
    drawn: Split
    split: Split
    folder: str | Path = "."


@dataclass(frozen=True)
class Recipe:
    """How the loaders came about, for reports and bundles.

    Attributes:
        source: Where the items came from, in words.
        splitter: The splitter, in words.
        item_tfms: Transforms of one sample, as the user gave them.
        batch_tfms: Transforms given for the batch, as the user gave them.
        call: The Python that builds these loaders again, if it is known.
        edits: What a journal of edits changed; None without one.
        folder: The data's, where a journal of edits is looked for.
        origin: All items and their split; None where items are not known one by one.
    """

    source: str = ""
    splitter: str = ""
    item_tfms: tuple[Any, ...] = ()
    batch_tfms: tuple[Any, ...] = ()
    call: str = ""
    edits: EditSummary | None = None
    folder: str | Path = "."
    origin: Origin | None = None


class DataLoaders(Sequence[Any]):
    """Training and validation loader.

    Args:
        train: Training loader: ours, torch's, or any sized iterable of `(x, y)` batches.
        valid: Validation loader.
        path: Folder where models are saved.
        device: Where batches go when iterated over by hand; None takes the best there is.
        blocks: Fitted blocks, inputs first.
        n_inp: How many of them are inputs.
        recipe: How the loaders came about.

    Example:
        >>> pairs = [(torch.tensor([float(i)]), torch.tensor(i % 2)) for i in range(8)]
        >>> dls = DataLoaders(DataLoader(pairs, bs=4), DataLoader(pairs, bs=4))
        >>> x, y = dls.one_batch()
        >>> x.shape, y.tolist()
        (torch.Size([4, 1]), [0, 1, 0, 1])
    """

    def __init__(
        self,
        train: Any,
        valid: Any,
        path: str | Path = ".",
        device: str | torch.device | None = None,
        *,
        blocks: Sequence[Block] = (),
        n_inp: int = 1,
        recipe: Recipe | None = None,
    ) -> None:
        self.train, self.valid = train, valid
        self.path = Path(path)
        self.blocks, self.n_inp = list(blocks), n_inp
        self._recipe = recipe or Recipe()
        self.last_check: DataCheck | None = None
        self.to(default_device() if device is None else device)

    @classmethod
    def from_dsets(
        cls,
        train_ds: Any,
        valid_ds: Any,
        bs: int = 64,
        *,
        wgts: Sequence[float] | None = None,
        recipe: Recipe | None = None,
        **options: Unpack[LoadingOptions],
    ) -> DataLoaders:
        """Loaders of two data sets: wiggly's, torch's, or any sequence of tuples whose last is the target.

        Args:
            train_ds: Training samples.
            valid_ds: Validation samples.
            bs: Items per training batch.
            wgts: Weights of the training items, which are then drawn with replacement; None takes each once.
            recipe: How the data sets came about.
            options: See `LoadingOptions`.

        Raises:
            ArgumentError: wiggly's own transforms for samples that were not made by blocks.

        Example:
            >>> pairs = [(torch.tensor([float(i)]), i % 2) for i in range(8)]
            >>> dls = DataLoaders.from_dsets(pairs[:6], pairs[6:], bs=2, device="cpu")
            >>> len(dls.train), next(iter(dls.valid))[1]
            (3, tensor([0, 1]))
        """
        train, valid = make_loaders(train_ds, valid_ds, bs, wgts, **options)
        blocks, n_inp = getattr(train_ds, "blocks", ()), getattr(train_ds, "n_inp", 1)
        path, device = options.get("path", "."), options.get("device")
        return DataLoaders(train, valid, path, device, blocks=blocks, n_inp=n_inp, recipe=recipe)

    def shard(self, index: int, of: int) -> DataLoaders:
        """One process's part of both loaders; see `DataLoader.shard`."""
        parts = [self._own(loader, "shard").shard(index, of) for loader in self.loaders]
        return self._with(*parts)

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return (self.train, self.valid)[index]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.train, self.valid))

    @property
    def loaders(self) -> list[Any]:
        """Training and validation loader as a list."""
        return [self.train, self.valid]

    @property
    def input_blocks(self) -> list[Block]:
        """Fitted blocks of the inputs."""
        return self.blocks[: self.n_inp]

    @property
    def target_blocks(self) -> list[Block]:
        """Fitted blocks of the targets."""
        return self.blocks[self.n_inp :]

    @property
    def train_ds(self) -> Any:
        """Training samples."""
        return self.train.dataset

    @property
    def valid_ds(self) -> Any:
        """Validation samples."""
        return self.valid.dataset

    @property
    def vocab(self) -> Any:
        """Labels by index; a list of vocabularies where several targets have one.

        Raises:
            DataError: No target has labels.
        """
        found = [b.vocab for b in self.target_blocks if b.vocab is not None]
        if not found:
            raise DataError(
                "`dls.vocab` needs a target with labels",
                f"the targets are {[b.name for b in self.target_blocks] or 'unknown'}",
                "Use CategoryBlock for labels.",
            )
        return found[0] if len(found) == 1 else found

    @property
    def classes(self) -> Vocab:
        """The same as `vocab`."""
        return self.vocab

    @property
    def c(self) -> int | list[int]:
        """Number of model outputs: classes, or numbers to predict; a list for several targets."""
        counts = [b.n_out for b in self.target_blocks]
        return counts[0] if len(counts) == 1 else counts

    @property
    def bs(self) -> int:
        """Items per training batch."""
        return int(getattr(self.train, "bs", 0) or getattr(self.train, "batch_size", 0))

    @property
    def item_tfms(self) -> list[Any]:
        """Transforms of one sample, as given."""
        return list(self._recipe.item_tfms)

    @property
    def batch_tfms(self) -> list[Any]:
        """Transforms given for the batch."""
        return list(self._recipe.batch_tfms)

    @property
    def edits(self) -> EditSummary | None:
        """What the journal passed as `edits` changed, and what of it was set aside; None without one."""
        return self._recipe.edits

    @property
    def origin(self) -> Origin | None:
        """All items and their split, as `retrain` needs them; None where items are not known one by one."""
        return self._recipe.origin

    @property
    def bad_items(self) -> dict[str, str]:
        """Unreadable items met so far in either split: name to reason."""
        return {**getattr(self.train, "bad_items", {}), **getattr(self.valid, "bad_items", {})}

    @property
    def cache(self) -> Cache | None:
        """Where decoded items are kept; None without a cache."""
        keeping = getattr(getattr(self.train, "dataset", None), "keeping", None)
        return None if keeping is None else keeping.cache

    def profile(self, learn: Any = None, n: int = 64) -> Profile:
        """Says where the time of a training batch goes, and names the fix; prints it as a table too.

        Args:
            learn: A learner, to see how long its model waits for data; it stays as it is.
            n: Items to time one by one.
        """
        from wiggly.data.profiling.profile import profile

        made = profile(self.train, learn, n)
        print(made)
        return made

    def to(self, device: str | torch.device) -> DataLoaders:
        """Sends batches that are iterated over by hand to a device."""
        self.device = torch.device(device)
        for loader in self.loaders:
            if isinstance(loader, DataLoader):
                loader.device = self.device
        return self

    def cuda(self) -> DataLoaders:
        """Sends batches to the CUDA device."""
        return self.to("cuda")

    def cpu(self) -> DataLoaders:
        """Leaves batches on the CPU."""
        return self.to("cpu")

    def look(self, n: int | None = None) -> Batch:
        """A training batch for looking at; training's own random draws are not moved by it."""
        if isinstance(self.train, DataLoader):
            return self.train.look(n)
        return next(iter(batches_of(self.train)))

    def one_batch(self) -> tuple[Tensor, ...]:
        """A training batch `(x, y)`: images float32 in [0, 1], shape `(n, c, h, w)`."""
        return tuple(t.to(self.device) for t in self.look().tensors)

    def show_batch(
        self,
        b: tuple[Tensor, ...] | None = None,
        max_n: int = 9,
        nrows: int | None = None,
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
        unique: bool = False,
    ) -> None:
        """Draws items of a training batch; see `DataLoader.show_batch` for the arguments."""
        if not isinstance(self.train, DataLoader):
            raise DataError(
                "`show_batch` needs a loader built from blocks",
                f"the training loader is a {type(self.train).__name__}",
                "Draw its batches yourself, or build the loaders with a DataBlock.",
            )
        self.train.show_batch(b, max_n, nrows, ncols, figsize, unique)

    def test_dl(
        self,
        test_items: Any,
        with_labels: bool = False,
        bs: int | None = None,
        num_workers: int | None = None,
    ) -> DataLoader:
        """A loader of new items, in their order, with the validation transforms.

        An unreadable item raises instead of being skipped, so that predictions stay in step with the items.

        Args:
            test_items: Paths, pictures, rows of a table like the training table, or a source of shards.
            with_labels: Also read the targets.
            bs: Items per batch; None takes that of validation.
            num_workers: Threads; None as in validation.

        Raises:
            ArgumentError: These loaders were not built from blocks, or a single item was given.
        """
        template = self.valid
        if not isinstance(template, DataLoader) or not isinstance(template.dataset, Dataset):
            raise ArgumentError(
                "`test_dl` needs loaders built by a DataBlock",
                f"the validation loader is a {type(template).__name__}",
                "Build a loader of your own for the new items.",
            )
        if isinstance(test_items, (str, bytes, Path)):
            raise ArgumentError(
                "`test_items` must be a list of items",
                f"it is the single item {test_items!r:.80}",
                "Pass [item], or get_image_files(folder) for all photos of a folder.",
            )
        ds = template.dataset
        sharded = isinstance(test_items, Source)
        items = ShardRows(test_items, test_items.shards) if sharded else as_items(test_items)
        new = (ShardDataset if sharded else Dataset)(
            items,
            self._getters,
            self.blocks,
            self.n_inp,
            ds.item_tfms,
            train=False,
            labelled=with_labels,
            direct=not isinstance(items, (TableItems, ShardRows)),
        )
        return DataLoader(
            new,
            template.bs if bs is None else bs,
            num_workers=template.num_workers if num_workers is None else num_workers,
            batch_tfms=template.batch_tfms,
            seed=template.seed,
            device=self.device,
            max_bad=0.0,
            warp_on=template.warp_on,
        )

    @property
    def _getters(self) -> list[Any]:
        return list(self.valid_ds.getters)

    def new(
        self, bs: int | None = None, val_bs: int | None = None, shuffle: bool | None = None
    ) -> DataLoaders:
        """Loaders over the same items with other settings.

        Args:
            bs: Items per training batch.
            val_bs: Items per validation batch; None follows `bs` if that is given.
            shuffle: Whether training is shuffled.
        """
        train = self._own(self.train, "new").new(bs, shuffle)
        valid = self._own(self.valid, "new").new(bs if val_bs is None else val_bs)
        return self._with(train, valid)

    def _own(self, loader: Any, what: str) -> DataLoader:
        if not isinstance(loader, DataLoader):
            raise ArgumentError(
                f"`{what}` needs wiggly's own loaders",
                f"one is a {type(loader).__name__}",
                "Build new loaders.",
            )
        return loader

    def _with(self, train: DataLoader, valid: DataLoader) -> DataLoaders:
        return DataLoaders(
            train, valid, self.path, self.device, blocks=self.blocks, n_inp=self.n_inp, recipe=self._recipe
        )

    def check(self, groups: Any = None, near: bool = True) -> DataCheck:
        """Looks at every item once and says what would spoil the training; a report made later shows it.

        Unreadable files, odd sizes, missing and rare classes, copies (exact, near, with another label, on
        both sides of the split), groups on both sides, masks and boxes that do not fit.

        Args:
            groups: What must stay on one side (a patient, a video): a function of the item, a column's name,
                or a pattern whose first group is looked for in the path.
            near: Also look for copies that are resized, recompressed, cropped, brightened or mirrored.

        Raises:
            ArgumentError: The inputs are no pictures, or the loaders were not built by a DataBlock.
        """
        from wiggly.vision.check import check_loaders

        self.last_check = check_loaders(self, groups, near)
        return self.last_check

    def remember_call(self, call: str) -> None:
        """Keeps the Python text that builds these loaders, for "how to reproduce" in reports."""
        self._recipe = replace(self._recipe, call=call)

    def recipe(self) -> dict[str, Any]:
        """What a report says about the data; only JSON types."""
        recipe = self._recipe
        return {
            "source": recipe.source,
            "splitter": recipe.splitter,
            "n_train": len(self.train_ds) if hasattr(self.train, "dataset") else None,
            "n_valid": len(self.valid_ds) if hasattr(self.valid, "dataset") else None,
            "bs": self.bs,
            "seed": getattr(self.train, "seed", None),
            "blocks": [b.describe() for b in self.blocks],
            "item_tfms": transform_names(recipe.item_tfms),
            "batch_tfms": transform_names(recipe.batch_tfms),
            "cache": None if self.cache is None else self.cache.describe(),
            "call": recipe.call,
            "edits": None if recipe.edits is None else recipe.edits.to_dict(),
        }
