"""What new rows hold that the training rows did not: values never seen, numbers missing, infinities.

In: counts by column, as an encoder meets them. Out: sentences. Read next: `fields.py`, which counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Surprises"]


@dataclass
class Surprises:
    """Counts by column.

    Attributes:
        unseen: Values that no training row had; they are `#na#`.
        missing: Numbers missing in a column that had all in training; they are the fill.
        infinite: Infinite numbers, or such beyond float32; they count as missing.
        types: Not counted: of a column of which all values are unseen, how their type differs.

    Example:
        >>> found = Surprises(unseen={"city": 2})
        >>> print(found)
        city: 2 values were not in training, taken as #na#
    """

    unseen: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    missing: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    infinite: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    types: dict[str, str] = field(default_factory=lambda: dict[str, str]())

    def __bool__(self) -> bool:
        return bool(self.unseen or self.missing or self.infinite)

    def __str__(self) -> str:
        lines = [
            f"{name}: {_counted(n, 'value')} not in training, taken as #na#"
            + (f" ({self.types[name]})" if name in self.types else "")
            for name, n in self.unseen.items()
        ]
        lines += [
            f"{name}: {_counted(n, 'number')} missing though none was in training, filled"
            for name, n in self.missing.items()
        ]
        lines += [
            f"{name}: {_counted(n, 'number')} infinite or beyond float32, taken as missing"
            for name, n in self.infinite.items()
        ]
        return "\n".join(lines)

    def add(self, other: Surprises) -> None:
        """Adds the counts of more rows."""
        self.types.update(other.types)
        for mine, theirs in (
            (self.unseen, other.unseen),
            (self.missing, other.missing),
            (self.infinite, other.infinite),
        ):
            for name, n in theirs.items():
                mine[name] = mine.get(name, 0) + n


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun} was" if n == 1 else f"{n:,} {noun}s were"
