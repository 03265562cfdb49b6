"""Where items come from and how an item's label is found.

In: a folder, a list, or a table. Out: a sequence of items (paths, rows) and functions that read one field of
an item. Read next: `split.py`.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import narwhals as nw

from wiggly.data.basics import L
from wiggly.errors import ArgumentError, DataError, LabelError

__all__ = [
    "ColReader",
    "RegexLabeller",
    "TableItems",
    "as_items",
    "get_files",
    "get_image_files",
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
    starts = [root] if names is None else [root / name for name in names]
    found: list[Path] = []
    seen: set[str] = set()
    for start in starts:
        for here, directories, names in os.walk(start, onerror=_warn_of_closed, followlinks=True):
            real = os.path.realpath(here)
            if real in seen:  # a link back to a parent folder would otherwise loop for ever
                directories[:] = []
                continue
            seen.add(real)
            directories[:] = sorted(d for d in directories if recurse and not d.startswith("."))
            found += [Path(here, n) for n in names if _is_wanted(n, wanted)]
    return L(sorted(found))


def _warn_of_closed(error: OSError) -> None:
    """Says which folder may not be read: with it a whole class would go missing unnoticed."""
    if isinstance(error, PermissionError):
        warnings.warn(f"the folder '{error.filename}' may not be read; its files are left out", stacklevel=4)


def _is_wanted(name: str, extensions: set[str] | None) -> bool:
    if name.startswith("."):
        return False
    return extensions is None or os.path.splitext(name)[1].lower() in extensions


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


def parent_label(item: str | Path) -> str:
    """Label of a file: the name of the folder it lies in.

    Example:
        >>> parent_label("photos/bear/1.jpg")
        'bear'
    """
    return Path(item).parent.name


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


class ColReader:
    """Reads one or several columns of a row.

    Args:
        cols: A column's name or position, or a list of them (then a list is returned).
        pref: Put before the value. A folder given as a `Path` is joined to it; an absolute path stays as it
            is.
        suff: Put after the value, e.g. ".jpg".
        label_delim: Split the value at this text into a list of labels; an empty value gives an empty list.

    Raises:
        DataError: The row has no such column.

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
        values = [self._read(row, col) for col in self.cols]
        return values[0] if self.single else values

    def _read(self, row: Any, col: str | int) -> Any:
        value = _cell(row, col)
        if self.label_delim is not None:
            text = "" if value is None or value != value else str(value)  # NaN is not equal to itself
            return text.split(self.label_delim) if text else []
        if isinstance(self.pref, Path):
            return os.path.join(self.pref, f"{value}{self.suff}")
        return f"{self.pref}{value}{self.suff}" if self.pref or self.suff else value


def _cell(row: Any, col: str | int) -> Any:
    try:
        if isinstance(col, int):
            return row.iloc[col] if hasattr(row, "iloc") else list(row.values())[col]
        return row[col] if hasattr(row, "__getitem__") else getattr(row, col)
    except (KeyError, IndexError, AttributeError, TypeError):
        names = [str(n) for n in (row.index if hasattr(row, "index") and not callable(row.index) else [])]
        raise DataError(
            "the table must have the column that is read",
            f"there is no column {col!r}; the columns are {names}",
            "Check the column's name or position.",
        ) from None


class TableItems(Sequence[Any]):
    """The rows of a table as items; each row is a pandas Series.

    Args:
        table: A pandas, polars or pyarrow table, or anything narwhals takes.
    """

    def __init__(self, table: Any) -> None:
        self.table: Any = table
        self._frame = nw.from_native(table, eager_only=True)

    def __len__(self) -> int:
        return len(self._frame)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.subset(range(len(self))[index])
        position = range(len(self))[int(index)]  # raises the IndexError that ends a loop over the rows
        if hasattr(self.table, "iloc"):
            return self.table.iloc[position]
        import pandas as pd

        return pd.Series(self._frame.row(position), index=self._frame.columns, name=position)

    def subset(self, positions: Sequence[int]) -> TableItems:
        """The rows at these positions, in this order."""
        return TableItems(self._frame[list(positions)].to_native())


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
    if hasattr(item, "iloc"):
        return f"row {getattr(item, 'name', position)}"
    name = getattr(item, "filename", None)  # an opened PIL image
    return str(name) if name else f"item {position}"
