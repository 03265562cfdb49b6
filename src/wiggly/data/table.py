"""The rows of a table as items: read a cell or a whole column, make no object that nobody asked for.

In: a pandas, polars or pyarrow table. Out: `TableItems`, a sequence of rows that behave as pandas Series.
Read next: `items.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt

from wiggly.errors import DataError

__all__ = ["Row", "TableItems"]


class Row:
    """One row. It stands in for the pandas Series of the row (`isinstance` says so too), but that takes 30 µs
    to make; this reads a cell in 1 µs and makes the Series when something else is asked of it. A cell keeps
    the type of its column, where a Series of whole and broken numbers would turn all into broken ones.

    Args:
        items: The rows it is one of.
        position: Which one.

    Example:
        >>> import pandas as pd
        >>> row = TableItems(pd.DataFrame({"file": ["a"], "n": [3]}))[0]
        >>> row["file"], row.file, row.iloc[0], list(row.index)
        ('a', 'a', 'a', ['file', 'n'])
    """

    __slots__ = ("_items", "_position", "_series")

    def __init__(self, items: TableItems, position: int) -> None:
        self._items, self._position = items, position
        self._series: Any = None

    @property
    def name(self) -> Any:
        """The row's label in the table's own index."""
        return self._items.label(self._position)

    def series(self) -> Any:
        """The row as a pandas Series."""
        if self._series is None:
            self._series = self._items.series(self._position)
        return self._series

    def cell(self, column: str | int) -> Any:
        """The value in a column, by name or position.

        Raises:
            DataError: There is no such column.
        """
        return self._items.cell(self._items.place(column), self._position)

    def __getitem__(self, key: Any) -> Any:
        place = self._items.places.get(key) if isinstance(key, str) else None
        return self.series()[key] if place is None else self._items.cell(place, self._position)

    def __getattr__(self, name: str) -> Any:
        import pandas as pd

        # As in pandas, a method of Series hides a column of the same name.
        if name in self._items.places and not hasattr(pd.Series, name):
            return self[name]
        return getattr(self.series(), name)

    @property
    def __class__(self) -> type:  # a getter may ask for a Series
        import pandas as pd

        return pd.Series

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise TypeError("a row stays a row")

    def __len__(self) -> int:
        return len(self._items.columns)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.series())

    def __contains__(self, key: object) -> bool:
        return key in self.series()

    def __eq__(self, other: object) -> Any:
        return self.series() == (other.series() if type(other) is Row else other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # as of a Series

    def __repr__(self) -> str:
        return repr(self.series())

    def __reduce__(self) -> Any:
        return self.series().__reduce__()


class TableItems(Sequence[Any]):
    """The rows of a table as items.

    Args:
        table: A pandas, polars or pyarrow table, or anything narwhals takes.

    Raises:
        DataError: Two columns have the same name.

    Example:
        >>> import pandas as pd
        >>> items = TableItems(pd.DataFrame({"file": list("abc")}))
        >>> items[1]["file"], items.subset([2, 0]).column("file")
        ('b', ['c', 'a'])
    """

    def __init__(self, table: Any) -> None:
        self._whole: Any = table
        self._frame = _framed(table)
        self._rows: npt.NDArray[np.int64] | None = None
        self._cells: dict[int, Callable[[int], Any]] = {}
        self.columns: list[Any] = list(self._frame.columns)
        self.places = {name: k for k, name in enumerate(self.columns)}

    @property
    def table(self) -> Any:
        """These rows as a table of the kind that was given."""
        return self._whole if self._rows is None else self._frame[self._rows].to_native()

    def __len__(self) -> int:
        return len(self._frame) if self._rows is None else len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.subset(range(len(self))[index])
        return Row(self, range(len(self))[int(index)])  # raises the IndexError that ends a loop over the rows

    def __iter__(self) -> Iterator[Any]:
        return (Row(self, i) for i in range(len(self)))

    def subset(self, positions: Sequence[int]) -> TableItems:
        """The rows at these positions, in this order; nothing is copied."""
        chosen = np.asarray(positions, dtype=np.int64)
        made = TableItems.__new__(TableItems)
        made.__dict__.update(self.__dict__)
        made._rows = chosen if self._rows is None else self._rows[chosen]
        return made

    def place(self, column: str | int) -> int:
        """Position of a column given by its name or position.

        Raises:
            DataError: There is no such column.
        """
        count = len(self.columns)
        named = self.places.get(column)  # a column may be called by a whole number
        if named is None and isinstance(column, int) and -count <= column < count:
            named = column % count
        if named is None:
            raise DataError(
                "the table must have the column that is read",
                f"there is no column {column!r}; the columns are {[str(n) for n in self.columns]}",
                "Check the column's name or position.",
            )
        return named

    def cell(self, place: int, position: int) -> Any:
        """The value in the column at `place`, in the row at `position`."""
        read = self._cells.get(place)
        if read is None:
            read = self._cells[place] = _reader(self._whole, self._frame, place)
        return read(self._at(position))

    def column(self, column: str | int) -> list[Any]:
        """All values of a column, as Python objects.

        Raises:
            DataError: There is no such column.
        """
        series = self._frame[:, self.place(column)]
        return (series if self._rows is None else series[self._rows]).to_list()

    def label(self, position: int) -> Any:
        """What the table's own index calls a row; its place in the whole table where there is none."""
        row = self._at(position)
        return self._whole.index[row] if hasattr(self._whole, "iloc") else row

    def series(self, position: int) -> Any:
        """A row as a pandas Series."""
        row = self._at(position)
        if hasattr(self._whole, "iloc"):
            return self._whole.iloc[row]
        import pandas as pd

        values = [self.cell(place, position) for place in range(len(self.columns))]
        return pd.Series(values, index=self.columns, name=row)

    def _at(self, position: int) -> int:
        return position if self._rows is None else int(self._rows[position])


def _framed(table: Any) -> nw.DataFrame[Any]:
    try:
        return nw.from_native(table, eager_only=True)
    except nw.exceptions.DuplicateError as error:
        names = [str(name) for name in table.columns]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(
            "the columns of a table must have different names",
            f"{twice!r} is there {names.count(twice)} times",
            "Rename or drop one, e.g. with df.loc[:, ~df.columns.duplicated()].",
        ) from error


def _reader(table: Any, frame: nw.DataFrame[Any], place: int) -> Callable[[int], Any]:
    """Row number to value, for one column, in the fastest way its library has."""
    if hasattr(table, "iloc"):
        return table.iloc[:, place].array.__getitem__
    native: Any = frame[:, place].to_native()
    if nw.dependencies.is_pyarrow_chunked_array(native):
        return lambda row: native[row].as_py()
    return native.__getitem__
