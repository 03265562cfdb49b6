"""`ImageDataLoaders`: the common ways photos and their labels lie on a disk, one constructor each.

In: a folder, a list of files, a table. Out: `DataLoaders`, through a `DataBlock` that you could have written
yourself. Read next: `learner.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import torch
from typing_extensions import Unpack

from wiggly.data.block import BlockLike, DataBlock
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.dataset import Getter, identity
from wiggly.data.items import ColReader, RegexLabeller, get_image_files, parent_label
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import ColSplitter, GrandparentSplitter, RandomSplitter, Splitter
from wiggly.data.transform import Transform, transform_names
from wiggly.errors import ArgumentError, DataError
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.image import PILImage

__all__ = ["ImageDataLoaders", "LoaderOptions"]


class LoaderOptions(TypedDict, total=False):
    """What every constructor takes besides its own arguments.

    Attributes:
        item_tfms: Transforms of one sample.
        batch_tfms: More transforms; wiggly's own join those of one sample in one resampling.
        img_cls: `PILImage` (RGB, the default) or `PILImageBW` (grey).
        bs: This and the others are explained at `DataBlock.dataloaders`.
    """

    item_tfms: Any
    batch_tfms: Any
    img_cls: type[PILImage]
    bs: int
    val_bs: int | None
    shuffle: bool
    device: str | torch.device | None
    num_workers: int | None
    max_bad: float


class ImageDataLoaders(DataLoaders):
    """Constructors of loaders for labelled photos.

    All take the options of `LoaderOptions` by name: `item_tfms`, `batch_tfms`, `img_cls`, `bs=64`, `val_bs`,
    `shuffle`, `device`, `num_workers`, `max_bad`. `seed` decides the random split, the order and all random
    draws. Models are saved in `path`.
    """

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        train: str = "train",
        valid: str = "valid",
        valid_pct: float | None = None,
        seed: int | None = None,
        vocab: Sequence[Any] | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:
        """One folder per class: `path/cat/1.jpg`, or with ready-made parts `path/train/cat/1.jpg`.

        Args:
            path: The folder.
            train: Name of the training part's folder; not used with `valid_pct`.
            valid: Name of the validation part's folder; not used with `valid_pct`.
            valid_pct: Share of all images to take for validation at random; None uses the two folders.
            seed: Of split, order and draws.
            vocab: The classes; None finds them.
            options: See `LoaderOptions`.

        Raises:
            DataError: The folder is missing, holds no images, or lacks a part.
            LabelError: Fewer than two classes, or a class in validation alone.
        """
        if valid_pct is None:
            splitter: Splitter = GrandparentSplitter(train, valid)
            # With neither folder the splitter sees all images and says what is missing.
            parts = [d for d in (train, valid) if (Path(path) / d).is_dir()]
            files = get_image_files(path, folders=parts or None)
        else:
            splitter, files = RandomSplitter(valid_pct, seed), get_image_files(path)
        files = _some_images(files, path)
        dls = _load(CategoryBlock(vocab), splitter, [identity, parent_label], files, path, seed, options)
        arguments: dict[str, Any] = (
            {"valid_pct": valid_pct} if valid_pct is not None else {"train": train, "valid": valid}
        )
        return _remember(dls, "from_folder", {"path": str(path), **arguments}, seed, options)

    @classmethod
    def from_path_func(
        cls,
        path: str | Path,
        fnames: Sequence[str | Path],
        label_func: Callable[[Any], Any],
        valid_pct: float = 0.2,
        seed: int | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:
        """Files with a function from the whole path to the label.

        Args:
            path: Folder where models are saved.
            fnames: The files.
            label_func: Path to label.
            valid_pct: Share for validation.
            seed: Of split, order and draws.
            options: See `LoaderOptions`.

        Raises:
            LabelError: The function fails on a file, which is named.
        """
        splitter, files = RandomSplitter(valid_pct, seed), _some_images(list(fnames), path)
        return _load(CategoryBlock(), splitter, [identity, label_func], files, path, seed, options)

    @classmethod
    def from_name_func(
        cls,
        path: str | Path,
        fnames: Sequence[str | Path],
        label_func: Callable[[str], Any],
        valid_pct: float = 0.2,
        seed: int | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:
        """Files with a function from the file's name (a string, without folders) to the label.

        Args:
            path: Folder where models are saved.
            fnames: The files.
            label_func: Name to label; a lambda is fine, also on Windows.
            valid_pct: Share for validation.
            seed: Of split, order and draws.
            options: See `LoaderOptions`.
        """
        return cls.from_path_func(path, fnames, _OfName(label_func), valid_pct, seed, **options)

    @classmethod
    def from_path_re(
        cls,
        path: str | Path,
        fnames: Sequence[str | Path],
        pat: str,
        valid_pct: float = 0.2,
        seed: int | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:
        """Files whose label is the first group of a regular expression found in the whole path.

        Args:
            path: Folder where models are saved.
            fnames: The files.
            pat: The regular expression; folders are separated by "/" on every system.
            valid_pct: Share for validation.
            seed: Of split, order and draws.
            options: See `LoaderOptions`.
        """
        dls = cls.from_path_func(path, fnames, RegexLabeller(pat), valid_pct, seed, **options)
        return _remember_pattern(dls, "from_path_re", path, fnames, pat, valid_pct, seed, options)

    @classmethod
    def from_name_re(
        cls,
        path: str | Path,
        fnames: Sequence[str | Path],
        pat: str,
        valid_pct: float = 0.2,
        seed: int | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:
        r"""Files whose label is the first group of a regular expression found in the file's name.

        Args:
            path: Folder where models are saved.
            fnames: The files.
            pat: The regular expression, e.g. r"^(.+)_\d+.jpg$".
            valid_pct: Share for validation.
            seed: Of split, order and draws.
            options: See `LoaderOptions`.
        """
        dls = cls.from_name_func(path, fnames, RegexLabeller(pat), valid_pct, seed, **options)
        return _remember_pattern(dls, "from_name_re", path, fnames, pat, valid_pct, seed, options)

    @classmethod
    def from_df(
        cls,
        df: Any,
        path: str | Path = ".",
        valid_pct: float = 0.2,
        seed: int | None = None,
        fn_col: str | int = 0,
        folder: str | Path | None = None,
        suff: str = "",
        label_col: str | int | Sequence[str | int] = 1,
        label_delim: str | None = None,
        y_block: BlockLike | None = None,
        valid_col: str | int | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:
        """A table (pandas, polars, pyarrow) with a column of file names and one or several of labels.

        Args:
            df: The table.
            path: Folder of the images, and where models are saved.
            valid_pct: Share for validation; not used with `valid_col`.
            seed: Of split, order and draws.
            fn_col: Column of the file names, by name or position.
            folder: Folder of the images below `path`.
            suff: What to add to each name, e.g. ".jpg".
            label_col: Column or columns of the labels.
            label_delim: What separates several labels in one cell; makes it a multi-label problem.
            y_block: Kind of target; None finds it: several labels for `label_delim` or several columns,
                numbers to predict for a column of floats, else one label.
            valid_col: Column that is true for validation rows.
            options: See `LoaderOptions`.
        """
        splitter: Splitter = RandomSplitter(valid_pct, seed) if valid_col is None else ColSplitter(valid_col)
        several = not isinstance(label_col, (str, int)) and len(label_col) > 1
        columns = label_col if isinstance(label_col, (str, int)) or several else label_col[0]
        target = y_block or _target_of_table(df, columns, several or label_delim is not None)
        root = Path(path) / folder if folder is not None else Path(path)
        getters = [ColReader(fn_col, pref=root, suff=suff), ColReader(columns, label_delim=label_delim)]
        return _load(target, splitter, getters, df, path, seed, options)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        csv_fname: str | Path = "labels.csv",
        header: int | str | None = "infer",
        delimiter: str | None = None,
        **arguments: Any,
    ) -> DataLoaders:
        """A CSV file in `path` with a column of file names and one or several of labels.

        Args:
            path: Folder of the images and of the CSV file.
            csv_fname: Its name.
            header: Row with the column names, as in `pandas.read_csv`; None if there is none.
            delimiter: What separates columns; None for a comma.
            arguments: Everything else `from_df` takes.

        Raises:
            DataError: The file is missing or cannot be read as a table.
        """
        import pandas as pd

        file = Path(path) / csv_fname
        try:
            df: Any = pd.read_csv(file, header=cast("Any", header), delimiter=delimiter or ",")
        except (OSError, ValueError) as error:
            raise DataError(
                "the CSV file must be readable", f"'{file}': {error}", "Check `path` and `csv_fname`."
            ) from error
        return cls.from_df(df, path, **arguments)

    @classmethod
    def from_lists(
        cls,
        path: str | Path,
        fnames: Sequence[str | Path],
        labels: Sequence[Any],
        valid_pct: float = 0.2,
        seed: int | None = None,
        y_block: BlockLike | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:
        """Files and their labels, in the same order.

        Args:
            path: Folder where models are saved.
            fnames: The files.
            labels: One per file: a label, a list of labels, or a float to predict.
            valid_pct: Share for validation.
            seed: Of split, order and draws.
            y_block: Kind of target; None finds it from the first label.
            options: See `LoaderOptions`.

        Raises:
            ArgumentError: The two lists differ in length.
        """
        fnames, labels = list(fnames), list(labels)  # a table's column is indexed by its own labels
        if len(fnames) != len(labels):
            raise ArgumentError(
                "`fnames` and `labels` must be as long as each other",
                f"they have {len(fnames)} and {len(labels)}",
                "Pass one label per file.",
            )
        target = y_block or _target_of_label(labels[0] if labels else "")
        pairs = list(zip(fnames, labels, strict=True))
        splitter = RandomSplitter(valid_pct, seed)
        return _load(target, splitter, [itemgetter(0), itemgetter(1)], pairs, path, seed, options)


class _OfName:
    """`label_func` applied to the name of a path."""

    def __init__(self, label_func: Callable[[str], Any]) -> None:
        self.label_func = label_func

    def __call__(self, item: str | Path) -> Any:
        return self.label_func(Path(item).name)


def _load(
    target: BlockLike,
    splitter: Splitter,
    getters: Sequence[Getter],
    source: Any,
    path: str | Path,
    seed: int | None,
    options: LoaderOptions,
) -> DataLoaders:
    rest: dict[str, Any] = {**options}
    block = DataBlock(
        (ImageBlock(rest.pop("img_cls", PILImage)), target),
        getters=getters,
        splitter=splitter,
        item_tfms=rest.pop("item_tfms", None),
        batch_tfms=rest.pop("batch_tfms", None),
    )
    return block.dataloaders(source, path=path, seed=seed, **rest)


def _some_images(files: Sequence[Any], path: str | Path) -> Sequence[Any]:
    if not files:
        raise DataError(
            f"'{path}' must hold images",
            "no file there ends in .jpg, .png or another image suffix",
            "Check the folder; put the photos of each class into a sub-folder of its own.",
        )
    return files


def _target_of_table(df: Any, columns: str | int | Sequence[str | int], several: bool) -> BlockLike:
    import narwhals as nw

    if several:
        return MultiCategoryBlock
    frame = nw.from_native(df, eager_only=True)
    if isinstance(columns, str) and columns not in frame.columns:
        return CategoryBlock  # reading the labels will say which columns there are
    position = columns if isinstance(columns, int) else list(frame.columns).index(str(columns))
    return RegressionBlock if frame[:, position].dtype.is_float() else CategoryBlock


def _target_of_label(label: Any) -> BlockLike:
    if isinstance(label, (float, np.floating)):
        return RegressionBlock
    return MultiCategoryBlock if isinstance(label, (list, tuple, set)) else CategoryBlock


def _remember(
    dls: DataLoaders, name: str, arguments: dict[str, Any], seed: int | None, options: LoaderOptions
) -> DataLoaders:
    """Writes down the call that made these loaders, if all of it can be written as Python."""
    tfms = {"item_tfms": dls.item_tfms, "batch_tfms": dls.batch_tfms}
    if any(not isinstance(t, Transform) for given in tfms.values() for t in given):
        return dls
    given = {k: v if k == "fnames" else repr(v) for k, v in arguments.items() if v is not None}
    given |= {k: f"[{', '.join(transform_names(v))}]" for k, v in tfms.items() if v}
    others = {k: v for k, v in {"seed": seed, **options}.items() if k not in tfms and v is not None}
    given |= {k: v.__name__ if isinstance(v, type) else repr(v) for k, v in others.items()}
    text = ", ".join(re.sub(r"^path=", "", f"{k}={v}") for k, v in given.items())
    dls.remember_call(f"dls = ImageDataLoaders.{name}({text})")
    return dls


def _remember_pattern(
    dls: DataLoaders,
    name: str,
    path: str | Path,
    fnames: Sequence[str | Path],
    pat: str,
    valid_pct: float,
    seed: int | None,
    options: LoaderOptions,
) -> DataLoaders:
    listing = _listing(path, fnames)
    if listing is None:
        return dls
    arguments = {"path": str(path), "fnames": listing, "pat": pat, "valid_pct": valid_pct}
    return _remember(dls, name, arguments, seed, options)


def _listing(path: str | Path, fnames: Sequence[str | Path]) -> str | None:
    """The Python that lists these files again, if they are all images below the folder."""
    everything = Path(path).is_dir() and [Path(f) for f in fnames] == get_image_files(path)
    return f"get_image_files({str(path)!r})" if everything else None
