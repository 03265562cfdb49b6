"""`df_shrink`: the same table in fewer bytes.

In: a table. Out: a new one whose columns have the smallest type that holds their values. Read next:
`table.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np

from wiggly.tabular.reading import as_frame, check_columns

__all__ = ["df_shrink"]

SIGNED = ((nw.Int8, np.int8), (nw.Int16, np.int16), (nw.Int32, np.int32))
UNSIGNED = ((nw.UInt8, np.uint8), (nw.UInt16, np.uint16), (nw.UInt32, np.uint32))


def df_shrink(df: Any, skip: Sequence[str] = (), obj2cat: bool = True, int2uint: bool = False) -> Any:
    """The table with smaller types: integers as short as their values allow, float64 as float32 where none
    becomes infinite, texts as categories. Booleans and dates stay. The table that is passed stays as it is.

    Args:
        df: A pandas, polars or pyarrow table.
        skip: Columns to leave alone.
        obj2cat: Whether texts become categories.
        int2uint: Whether integers without negative values become unsigned.

    Returns:
        A table of the same kind.

    Raises:
        ArgumentError: A column of `skip` is not there.

    Example:
        >>> import pandas as pd
        >>> df = pd.DataFrame({"i": [-100, 100], "f": [1.5, 2], "city": ["Rome", "Oslo"]})
        >>> [str(kind) for kind in df_shrink(df).dtypes]
        ['int8', 'float32', 'category']
    """
    frame = as_frame(df)
    check_columns(frame, skip, "`skip`")
    smaller = {name: _smaller(frame[name], obj2cat, int2uint) for name in frame.columns if name not in skip}
    casts = [nw.col(name).cast(kind) for name, kind in smaller.items() if kind is not None]
    return frame.with_columns(*casts).to_native()


def _smaller(column: nw.Series[Any], obj2cat: bool, int2uint: bool) -> Any:
    """The smallest type for a column; None to leave it."""
    kind = column.dtype
    if isinstance(kind, nw.Float64):
        largest = column.abs().max()
        finite = largest is None or largest != largest or largest <= np.finfo(np.float32).max
        return nw.Float32 if finite else None
    if kind.is_integer():
        low, high = column.min(), column.max()
        if low is None or high is None:
            return None
        kinds = UNSIGNED if int2uint and low >= 0 else SIGNED
        return next((k for k, n in kinds if np.iinfo(n).min <= low and high <= np.iinfo(n).max), None)
    texts = isinstance(kind, nw.String) or (isinstance(kind, nw.Object) and _all_texts(column))
    return nw.Categorical if texts and obj2cat else None


def _all_texts(column: nw.Series[Any]) -> bool:
    return all(isinstance(value, str) for value in column.drop_nulls().to_list())
