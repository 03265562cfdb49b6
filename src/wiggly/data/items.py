"""Where items come from and how an item's label is found.

In: a folder, a list, or a table. Out: a sequence of items (paths, rows) and functions that read one field of
an item. Read next: `split.py`.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import narwhals as nw
import numpy as np

from wiggly.data.basics import L
from wiggly.data.pipeline import function_name
from wiggly.data.table import Row, TableItems
from wiggly.data.vocab import is_missing
from wiggly.errors import ArgumentError, DataError, ItemError, LabelError

__all__ = [
    "ColReader",
    "RegexLabeller",
    "TableItems",
    "as_items",
    "get_files",
    "get_image_files",
    "get_text_files",
    "image_extensions",
    "item_name",
    "parent_label",
    "using_attr",
]

# The raster formats Pillow opens, by suffix; SVG and other drawings are not photographs and are left out.
image_extensions: frozenset[str] = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".dib",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
        ".avif",
    ]
)


def get_files(
    path: str | Path,
    extensions: Iterable[str] | None = None,
    recurse: bool = True,
    folders: str | Sequence[str] | None = None,
) -> L:
    """All files below `path`, sorted, so that the same folder gives the same list on every machine.

    Args:
        path: An existing folder.
        extensions: Suffixes with their dot, compared in lower case; None for every file.
        recurse: Also look into sub-folders. Links are followed, once each; names that begin with a dot are
            skipped (macOS leaves `._photo.jpg` beside every photo it copies).
        folders: Only this sub-folder of `path`, or these.

    Raises:
        DataError: `path` does not exist or is not a folder.

    Example:
        >>> Path("a.txt").write_text("hello") and get_files(".", extensions=[".TXT"])
        [...Path('a.txt')]
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        kind = "a file" if root.exists() else "missing"
        raise DataError(
            "`path` must be an existing folder",
            f"'{root}' is {kind}",
            f"Check the spelling; the current folder is '{Path.cwd()}'.",
        )
    wanted = None if extensions is None else {e.lower() for e in extensions}
    names = [folders] if isinstance(folders, str) else folders
    starts = [root] if names is None else sorted(root / name for name in names)
    found, seen = L(), set[str]()
    for start in starts:
        for folder, name in _walk(str(start), recurse, seen):
            if wanted is None or os.path.splitext(name)[1].lower() in wanted:
                found.append(Path(folder, name))
    return found


def _walk(folder: str, recurse: bool, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Folder and name of every file, in the order of sorted paths, so that a million need not be sorted."""
    real = os.path.realpath(folder)
    if real in seen:  # a link back to a parent folder would otherwise loop for ever
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            # macOS leaves "._photo.jpg" beside every photo it copies.
            here = [(entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        _warn_of_closed(error)
        return
    for name, is_folder in sorted(here):
        if not is_folder:
            yield folder, name
        elif recurse:
            yield from _walk(os.path.join(folder, name), recurse, seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link whose end may not be looked at
        return False


def _warn_of_closed(error: OSError) -> None:
    """Says which folder may not be read: with it a whole class would go missing unnoticed."""
    if isinstance(error, PermissionError):
        warnings.warn(f"the folder '{error.filename}' may not be read; its files are left out", stacklevel=5)


def get_image_files(path: str | Path, recurse: bool = True, folders: str | Sequence[str] | None = None) -> L:
    """All image files below `path`, sorted; whether a file really holds an image is found when it is read.

    Args:
        path: An existing folder.
        recurse: Also look into sub-folders.
        folders: Only these sub-folders of `path`.

    Raises:
        DataError: `path` does not exist or is not a folder.

    Example:
        >>> Path("cat").mkdir(); Path("cat/1.jpg").touch(); Path("cat/notes.txt").touch()
        >>> [p.as_posix() for p in get_image_files(".")]
        ['cat/1.jpg']
    """
    return get_files(path, image_extensions, recurse, folders)


def get_text_files(path: str | Path, recurse: bool = True, folders: str | Sequence[str] | None = None) -> L:
    """All `.txt` files below `path`, sorted.

    Args:
        path: An existing folder.
        recurse: Also look into sub-folders.
        folders: Only these sub-folders of `path`.

    Raises:
        DataError: `path` does not exist or is not a folder.

    Example:
        >>> Path("pos").mkdir(); Path("pos/1.txt").touch(); Path("pos/1.jpg").touch()
        >>> [p.as_posix() for p in get_text_files(".")]
        ['pos/1.txt']
    """
    return get_files(path, [".txt"], recurse, folders)


def parent_label(item: str | Path) -> str:
    """Label of a file: the name of the folder it lies in.

    Example:
        >>> parent_label("photos/bear/1.jpg")
        'bear'
    """
    if isinstance(item, Path):  # its text would be kept in memory for each of a million paths
        return item.parent.name
    folder, file = os.path.split(item)
    name = os.path.basename(folder)
    # `pathlib` also takes "a/./b" and "a/b/", but needs three times as long.
    odd = {name, file} & {"", "."}
    return Path(item).parent.name if odd else name


class RegexLabeller:
    r"""Label of a file: the first group of a regular expression.

    Args:
        pattern: A regular expression with at least one group.
        match: True to match from the start of the text, False to search anywhere.

    Raises:
        LabelError: When called on a text the pattern does not fit.

    Example:
        >>> RegexLabeller(r"([^/]+)_\d+.jpg$")("pets/great_pyrenees_12.jpg")
        'great_pyrenees'
    """

    def __init__(self, pattern: str, match: bool = False) -> None:
        try:
            self.pattern = re.compile(pattern)
        except re.error as error:
            raise ArgumentError(
                "`pattern` must be a regular expression", f"'{pattern}' is not: {error}", "Mend it."
            ) from error
        if self.pattern.groups < 1:
            raise ArgumentError(
                "`pattern` must have a group that marks the label",
                f"'{pattern}' has none",
                r"Put the label in parentheses, e.g. r'(.+)_\d+.jpg$'.",
            )
        self.match = match

    def __call__(self, item: object) -> str:
        # Windows paths are matched with forward slashes too, so that one pattern serves everywhere.
        text = item.as_posix() if isinstance(item, Path) else str(item)
        found = self.pattern.match(text) if self.match else self.pattern.search(text)
        if found is None:
            raise LabelError(
                f"the pattern '{self.pattern.pattern}' must fit every item",
                f"it does not fit '{text}'",
                "Change the pattern, or leave such files out in `get_items`.",
            )
        return found.group(1)

    def __repr__(self) -> str:
        return f"RegexLabeller({self.pattern.pattern!r})"


class using_attr:
    """`f` applied to one attribute of the item.

    Example:
        >>> using_attr(str.upper, "name")(Path("photos/cat.jpg"))
        'CAT.JPG'
    """

    def __init__(self, f: Callable[[Any], Any], attr: str) -> None:
        self.f, self.attr = f, attr

    def __call__(self, item: object) -> Any:
        return self.f(getattr(item, self.attr))

    def __repr__(self) -> str:
        return f"using_attr({function_name(self.f)}, {self.attr!r})"


class ColReader:
    """Reads one or several columns of a row of a table, of a dict or of a tuple.

    Args:
        cols: A column's name or position, or a list of them (then a list is returned). A whole number is a
            position, unless a column is called by it.
        pref: Put before the value. A folder given as a `Path` is joined to it; an absolute path stays as it
            is.
        suff: Put after the value, e.g. ".jpg".
        label_delim: Split the value at this text into a list of labels; a missing value gives an empty list.

    Raises:
        DataError: The row has no such column.
        ItemError: The value is missing where `pref` or `suff` need one.

    Example:
        >>> import pandas as pd
        >>> row = pd.Series({"file": "a", "tags": "cat dog"})
        >>> ColReader("file", suff=".jpg")(row), ColReader("tags", label_delim=" ")(row)
        ('a.jpg', ['cat', 'dog'])
    """

    def __init__(
        self,
        cols: str | int | Sequence[str | int],
        pref: str | Path = "",
        suff: str = "",
        label_delim: str | None = None,
    ) -> None:
        self.single = isinstance(cols, (str, int))
        self.cols: list[str | int] = [cols] if isinstance(cols, (str, int)) else list(cols)
        self.pref = pref
        self.suff, self.label_delim = suff, label_delim

    def __call__(self, row: Any) -> Any:
        values = [self._finished(_cell(row, col), row, col) for col in self.cols]
        return values[0] if self.single else values

    def read_all(self, items: Sequence[Any]) -> list[Any] | None:
        """The same for all rows of a table at once; None where the items are no table."""
        if type(items) is not TableItems:
            return None
        columns = [[self._finished(v, None, col) for v in items.column(col)] for col in self.cols]
        return columns[0] if self.single else [list(values) for values in zip(*columns, strict=True)]

    def _finished(self, value: Any, row: Any, col: str | int) -> Any:
        if isinstance(value, np.generic) or type(value).__name__ == "NAType":  # of numpy, of pandas
            value = value.item() if isinstance(value, np.generic) else None
        if self.label_delim is not None:
            return self._labels(value)
        if not self.suff and self.pref == "":
            return value
        if is_missing(value):
            raise ItemError(
                item_name(row, 0), f"it has no value in column {col!r}", "Fill or drop such rows."
            )
        text = f"{value}{self.suff}"
        return os.path.join(self.pref, text) if isinstance(self.pref, Path) else f"{self.pref}{text}"

    def _labels(self, value: Any) -> list[Any]:
        if isinstance(value, (list, tuple, np.ndarray)):  # a column of lists
            return list(cast("Iterable[Any]", value))
        text = "" if is_missing(value) else str(value)
        return [label for label in text.split(self.label_delim) if label]

    def __repr__(self) -> str:
        shown = [repr(self.cols[0] if self.single else self.cols)]
        given = {"pref": self.pref, "suff": self.suff, "label_delim": self.label_delim}
        shown += [f"{k}={str(v)!r}" for k, v in given.items() if v]
        return f"ColReader({', '.join(shown)})"


def _cell(row: Any, col: str | int) -> Any:
    if type(row) is Row:
        return row.cell(col)
    is_tuple = issubclass(type(row), tuple)
    try:
        if isinstance(col, str):
            return getattr(row, col) if is_tuple or not hasattr(row, "__getitem__") else row[col]
        if is_tuple or col in _names(row):
            return row[col]
        return row.iloc[col] if hasattr(row, "iloc") else list(row.values())[col]
    except (KeyError, IndexError, AttributeError, TypeError):
        raise DataError(
            "the table must have the column that is read",
            f"there is no column {col!r}; the columns are {[str(n) for n in _names(row)]}",
            "Check the column's name or position.",
        ) from None


def _names(row: Any) -> list[Any]:
    """The columns of a row: of a Series its index, of a dict its keys, of a tuple its fields or positions."""
    if isinstance(row, tuple):
        return list(getattr(row, "_fields", range(len(cast("tuple[Any, ...]", row)))))
    return list(row.index if not callable(getattr(row, "index", list)) else getattr(row, "keys", list)())


def as_items(source: Any) -> Sequence[Any]:
    """A sequence of items from a sequence, an iterable, a table or one of its columns."""
    if nw.dependencies.is_into_dataframe(source):
        return TableItems(source)
    if nw.dependencies.is_into_series(source):  # its own index need not count from 0
        return nw.from_native(source, series_only=True).to_list()
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        return cast("Sequence[Any]", source)
    if isinstance(source, (str, bytes, Path)):
        raise DataError(
            "`get_items` must return a list of items",
            f"the source {source!r} is a path and there is no `get_items`",
            "Pass get_items=get_image_files to DataBlock.",
        )
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return source
    return list(source)


def item_name(item: object, position: int) -> str:
    """How messages call an item: its path, else its row or position."""
    if isinstance(item, (str, Path)):
        return str(item)
    first = cast("tuple[Any, ...]", item)[0] if isinstance(item, tuple) and item else None
    if isinstance(first, Path) or (isinstance(first, str) and os.path.splitext(first)[1]):
        return str(first)  # a file and its label
    if hasattr(item, "iloc"):
        return f"row {getattr(item, 'name', position)}"
    name = getattr(item, "filename", None)  # an opened PIL image
    return str(name) if name else f"item {position}"
