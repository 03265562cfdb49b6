"""Values of categories as JSON and back: dates, decimals, huge integers and infinities keep what they are.

In: a cell's plain value. Out: JSON types. Read next: `encoder.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from wiggly.errors import BundleError, DataError

__all__ = ["is_packable", "pack", "unpack"]

SAFE = 2**53  # beyond, JSON readers that know only floats would round an integer (ECMA-262, 21.1.2.8)


def pack(value: Any) -> Any:
    """A value as JSON.

    Raises:
        DataError: It is of a type that cannot be kept.

    Example:
        >>> pack("Rome"), pack(datetime(2024, 2, 29)), pack(2**60)
        ('Rome', {'date': '2024-02-29T00:00:00'}, {'integer': '1152921504606846976'})
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= SAFE else {"integer": str(value)}
    if isinstance(value, float):
        return value if abs(value) < float("inf") else {"float": str(value)}
    if isinstance(value, datetime):
        return {"date": value.isoformat()}
    if isinstance(value, timedelta):
        days, seconds, micros = value.days, value.seconds, value.microseconds
        return {"duration": [days, seconds, micros]}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    raise DataError(
        "the values of a category must be texts, numbers, booleans or dates",
        f"{value!r:.60} is a {type(value).__name__}",
        "Make them texts.",
    )


def is_packable(value: Any) -> bool:
    """Whether `pack` can write a value.

    Example:
        >>> is_packable("Rome"), is_packable(1j)
        (True, False)
    """
    try:
        pack(value)
    except DataError:
        return False
    return True


READERS: dict[str, Any] = {
    "integer": int,
    "float": float,
    "date": datetime.fromisoformat,
    "duration": lambda parts: timedelta(*parts),
    "decimal": Decimal,
    "bytes": bytes.fromhex,
}


def unpack(packed: Any) -> Any:
    """The value that `pack` wrote.

    Raises:
        BundleError: It is nothing that `pack` writes.
    """
    if not isinstance(packed, (dict, list)):
        return packed
    try:
        ((kind, text),) = packed.items()  # pyright: ignore[reportAttributeAccessIssue]
        return READERS[kind](text)
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
        raise BundleError(
            "a category's value must be written as this version of wiggly writes it",
            f"it is {packed!r:.60}",
            "Export the model again.",
        ) from None
