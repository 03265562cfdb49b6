"""Items by content: the SHA-256 of a file's bytes, of a row's cells, of a value.

In: items and the getter of their input. Out: `ItemIds`, which says what an item is called in a journal and
finds the items that a journal speaks of. A renamed file, a table in another order or of another library keep
their ids. Read next: `matching.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

from wiggly.data.dataset import Dataset, identity
from wiggly.data.edits.edit import ItemRef
from wiggly.data.edits.hashing import file_hashes
from wiggly.data.items import TableItems, item_name
from wiggly.data.pipeline import read_all
from wiggly.errors import DataError

__all__ = ["ItemIds", "SideIds", "refs_of", "row_ids", "value_id"]

_FILE_NAME = re.compile(r"[^\n]{1,1000}\.[A-Za-z0-9]{1,5}")


class ItemIds:
    """What items are called in a journal.

    An item whose input is a file, also one that a row of a table names, goes by the file's content; another
    row by all its cells; anything else by its value. Files are hashed when they have to be, and no others.

    Args:
        items: The items.
        get_x: Item to input, as in the recipe.
        root: Folder below which paths are written down; None for whole paths.
        labels: Label of an item by its position, for what is written down.
        beside: Ids of other items of the same data, as of the other side of the split: copies are counted
            among them too.

    Example:
        >>> ids = ItemIds(["ant", "bee", "ant"])
        >>> ids.ref(0).copies, ids.ref(1).path
        (2, 'item 1')
    """

    def __init__(
        self,
        items: Sequence[Any],
        get_x: Callable[[Any], Any] = identity,
        root: str | Path | None = None,
        labels: Callable[[int], Any] | None = None,
        beside: Sequence[ItemIds] = (),
    ) -> None:
        self.items, self._get_x, self._labels = items, get_x, labels
        self.beside = list(beside)
        self._root = None if root is None else os.path.abspath(root)
        self._hashes: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def files(self) -> list[str | None]:
        """The file of each item; None where the input is none."""
        raws: list[Any] | None = None
        with suppress(Exception):
            raws = read_all(self._get_x, self.items, None)
        if raws is None:
            raws = [self._raw(i) for i in range(len(self.items))]
        return [os.fspath(raw) if isinstance(raw, (str, Path)) else None for raw in raws]

    def _raw(self, position: int) -> Any:
        with suppress(Exception):  # what is wrong with it is said when it is read
            return self._get_x(self.items[position])
        return None

    @cached_property
    def sizes(self) -> list[int | None]:
        """Bytes of each file; None for what is no file, or gone."""
        return [None if file is None else _size(file) for file in self.files]

    @cached_property
    def _others(self) -> dict[int, str]:
        """Ids of the items that are no files."""
        positions = [i for i, size in enumerate(self.sizes) if size is None]
        if not positions:
            return {}
        if isinstance(self.items, TableItems):
            if all(file is not None for file in self.files) and len(positions) < len(self.items):
                return {}  # a table of files, of which some are gone
            return dict(zip(positions, row_ids(self.items.subset(positions)), strict=True))
        found = (
            (i, value_id(self.items[i]))
            for i in positions
            if self.files[i] is None or _no_path(self.files[i])
        )
        return {i: made for i, made in found if made is not None}

    def ids(self, positions: Iterable[int]) -> dict[int, str]:
        """Position to id; items that cannot be read, or are of no kind that can be hashed, are missing."""
        chosen = list(positions)
        lacking = [i for i in chosen if self.sizes[i] is not None and i not in self._hashes]
        files = [cast("str", self.files[i]) for i in lacking]
        for i, digest in zip(lacking, file_hashes(files), strict=True):
            self._hashes[i] = "" if digest is None else f"file:{digest}"
        both = ((i, self._hashes.get(i) or self._others.get(i)) for i in chosen)
        return {i: made for i, made in both if made}

    def find(self, wanted: Mapping[str, int | None]) -> dict[str, list[int]]:
        """The items that have these ids.

        Args:
            wanted: Id to size of the file; None where that is not known, and then every file is hashed.

        Returns:
            Id to positions, in order; only those that were found.
        """
        of_files = [size for made, size in wanted.items() if made.startswith("file:")]
        every, some = None in of_files, set(of_files)
        files = [
            i
            for i, size in enumerate(self.sizes)
            if of_files and size is not None and (every or size in some)
        ]
        others = self._others if len(of_files) < len(wanted) else {}
        found: dict[str, list[int]] = {}
        for i, made in sorted({**self.ids(files), **others}.items()):
            if made in wanted:
                found.setdefault(made, []).append(i)
        return found

    def ref(self, position: int) -> ItemRef:
        """What a row of a journal says of an item.

        Raises:
            DataError: It cannot be read, or is of a kind that has no hash.
        """
        size = self.sizes[position]
        ids = self._like(size)
        if position not in ids:
            raise DataError(
                "an item must be readable, and a file, a row or a plain value, to be edited",
                f"'{item_name(self.items[position], position)}' is not",
                "Check that the file is there.",
            )
        mine = ids[position]
        among = [ids, *(other._like(size) for other in self.beside)]
        copies = sum(made == mine for some in among for made in some.values())
        label = None if self._labels is None else self._labels(position)
        return ItemRef(mine, self.name(position), label, size, copies)

    def _like(self, size: int | None) -> dict[int, str]:
        """Position to id of the files of a size; without one of all that is no file."""
        return self._others if size is None else self.ids(self._by_size.get(size, []))

    @cached_property
    def _by_size(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for i, size in enumerate(self.sizes):
            if size is not None:
                found.setdefault(size, []).append(i)
        return found

    def name(self, position: int) -> str:
        """How a journal calls an item for people: its path below the root, else its row or position."""
        file = self.files[position]
        if file is None or (self.sizes[position] is None and position in self._others):
            noun = "row" if isinstance(self.items, TableItems) else "item"
            return f"{noun} {position}"
        if self._root is not None:
            path = os.path.abspath(file)
            if path.startswith(self._root + os.sep):
                file = path[len(self._root) + 1 :]
        return file.replace(os.sep, "/")


class SideIds(NamedTuple):
    """The ids of both sides of the split.

    Attributes:
        train: Of the training items.
        valid: Of the validation items.
    """

    train: ItemIds
    valid: ItemIds


def refs_of(dls: Any, root: str | Path | None = None) -> SideIds:
    """The ids of the items of loaders, with their labels: `refs_of(dls).valid.ref(3)`.

    Args:
        dls: Loaders, or data sets, that were made by blocks.
        root: The data's folder; None takes the loaders' own, if all files lie below it.
    """
    sides: list[Any] = [getattr(side, "dataset", side) for side in (dls.train, dls.valid)]
    folder = getattr(dls, "path", None) if root is None else root
    made = SideIds(*(_ids_of(side, folder) for side in sides))
    made.train.beside, made.valid.beside = [made.valid], [made.train]
    return made


def _ids_of(dataset: Any, root: str | Path | None) -> ItemIds:
    if not isinstance(dataset, Dataset):
        raise DataError(
            "`refs_of` needs items that are known one by one",
            f"the samples are a {type(dataset).__name__}",
            "Pass the items, or the table as TableItems(df), to ItemIds.",
        )
    labelled = dataset.labelled and dataset.n_inp < len(dataset.blocks)
    labels = (lambda i: dataset.raw(i, dataset.n_inp)) if labelled else None
    return ItemIds(dataset.items, dataset.getters[0], root, labels)


def _size(file: str) -> int | None:
    try:
        found = os.stat(file)
    except (OSError, ValueError):  # gone, or a text that is no path
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _no_path(text: str | None) -> bool:
    """Whether a text does not look like a file that is gone."""
    return text is None or _FILE_NAME.fullmatch(text) is None


def value_id(value: Any) -> str | None:
    """The id of a value: plain Python values, arrays and tensors; None for others.

    Example:
        >>> value_id(3) == value_id(3.0), value_id(object())
        (True, None)
    """
    with suppress(TypeError):
        return f"value:{_digest(_canonical(value))}"
    return None


def row_ids(items: TableItems) -> list[str]:
    """The ids of rows: a hash of all cells with their columns' names.

    The order of columns, and whether a library keeps a whole number as 3 or 3.0, makes no difference.
    """
    names = sorted(items.columns, key=str)
    columns = [[_cell(value) for value in items.column(name)] for name in names]
    keys = [str(name) for name in names]
    return [f"row:{_digest(list(zip(keys, cells, strict=True)))}" for cells in zip(*columns, strict=True)]


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _cell(value: Any) -> Any:
    try:
        return _canonical(value)
    except TypeError:
        return f"{type(value).__name__} {value}"


def _canonical(value: Any) -> Any:
    """A value in the one JSON form that all libraries' types of it share.

    Raises:
        TypeError: It has none.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return None if value != value else int(value) if value.is_integer() else value
    if isinstance(value, (datetime, date)):
        return _stamp(value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} s"
    if isinstance(value, (bytes, bytearray)):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, os.PathLike):
        return os.fspath(cast("os.PathLike[str]", value)).replace(os.sep, "/")
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return sorted([str(k), _canonical(v)] for k, v in pairs)
    if isinstance(value, (list, tuple)):
        return [_canonical(part) for part in cast("Sequence[Any]", value)]
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return _canonical(value.item())
    if hasattr(value, "tobytes") and hasattr(value, "shape"):
        return [str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    if hasattr(value, "numpy"):
        return _canonical(value.numpy())
    if hasattr(value, "tobytes") and hasattr(value, "size"):  # an opened picture
        return [value.mode, list(value.size), hashlib.sha256(value.tobytes()).hexdigest()]
    if hasattr(value, "item"):
        return _canonical(value.item())
    raise TypeError(f"{kind.__name__} has no hash")


def _stamp(value: date) -> str | None:
    if value != value:  # pandas' missing date
        return None
    whole = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    return whole.isoformat(timespec="microseconds")
