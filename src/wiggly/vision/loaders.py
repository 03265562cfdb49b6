"""`ImageDataLoaders` and `SegmentationDataLoaders`: the common ways photos and their labels or masks lie on a
disk, one constructor each.

In: a folder, a list of files, a table. Out: `DataLoaders`, through a `DataBlock` that you could have written
yourself. Read next: `learner.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from typing_extensions import Unpack

from wiggly.data.block import BlockLike
from wiggly.data.blocks import CategoryBlock
from wiggly.data.dataset import identity
from wiggly.data.items import ColReader, RegexLabeller, get_image_files, parent_label
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import ColSplitter, GrandparentSplitter, RandomSplitter, Splitter
from wiggly.errors import ArgumentError, DataError
from wiggly.vision.mask import MaskBlock
from wiggly.vision.recipes import (
    LoaderOptions,
    OfName,
    load_pictures,
    remember,
    remember_pattern,
    some_images,
    target_of_label,
    target_of_table,
)

__all__ = ["ImageDataLoaders", "LoaderOptions", "SegmentationDataLoaders"]


class ImageDataLoaders(DataLoaders):
    """Constructors of loaders for labelled photos.

    All take the options of `LoaderOptions` by name: `item_tfms`, `batch_tfms`, `img_cls`, `edits`, `bs=64`,
    `val_bs`, `shuffle`, `device`, `num_workers`, `max_bad`, `warp_on`, `cache`, `cache_path`, `cache_bytes`.
    `seed` decides the random split, the order and all random draws. Models are saved in `path`.
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
        files = some_images(files, path)
        dls = load_pictures(
            CategoryBlock(vocab), splitter, [identity, parent_label], files, path, seed, options
        )
        arguments: dict[str, Any] = (
            {"valid_pct": valid_pct} if valid_pct is not None else {"train": train, "valid": valid}
        )
        return remember(dls, "from_folder", {"path": str(path), **arguments}, seed, options)

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
        splitter, files = RandomSplitter(valid_pct, seed), some_images(list(fnames), path)
        return load_pictures(CategoryBlock(), splitter, [identity, label_func], files, path, seed, options)

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
        return cls.from_path_func(path, fnames, OfName(label_func), valid_pct, seed, **options)

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
        return remember_pattern(dls, "from_path_re", path, fnames, pat, valid_pct, seed, options)

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
        return remember_pattern(dls, "from_name_re", path, fnames, pat, valid_pct, seed, options)

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
        target = y_block or target_of_table(df, columns, several or label_delim is not None)
        root = Path(path) / folder if folder is not None else Path(path)
        getters = [ColReader(fn_col, pref=root, suff=suff), ColReader(columns, label_delim=label_delim)]
        return load_pictures(target, splitter, getters, df, path, seed, options)

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
        target = y_block or target_of_label(labels[0] if labels else "")
        pairs = list(zip(fnames, labels, strict=True))
        splitter = RandomSplitter(valid_pct, seed)
        return load_pictures(target, splitter, [itemgetter(0), itemgetter(1)], pairs, path, seed, options)


class SegmentationDataLoaders(DataLoaders):
    """Constructors of loaders for photos and masks; they take the options of `LoaderOptions` by name."""

    @classmethod
    def from_label_func(
        cls,
        path: str | Path,
        fnames: Sequence[str | Path],
        label_func: Callable[[Any], Any],
        valid_pct: float = 0.2,
        seed: int | None = None,
        codes: Any = None,
        void: str | int | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:
        """Photos with a function from a photo's path to its mask.

        Args:
            path: Folder where models are saved.
            fnames: The photos.
            label_func: Path of a photo to the path of its mask (or to an array of indices).
            valid_pct: Share for validation.
            seed: Of split, order and draws.
            codes: See `MaskBlock`.
            void: See `MaskBlock`.
            options: See `LoaderOptions`.

        Raises:
            DataError: There are no photos.
            LabelError: The function fails on a file, which is named.
        """
        target, splitter = MaskBlock(codes, void), RandomSplitter(valid_pct, seed)
        files = some_images(list(fnames), path)
        return load_pictures(target, splitter, [identity, label_func], files, path, seed, options)
