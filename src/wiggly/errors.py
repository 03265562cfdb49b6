"""Every error wiggly raises on purpose, in one message form: the rule, what was received, what to do next.

In: the three sentences. Out: an exception that is also the built-in a Python reader expects (`ValueError`,
`OSError`, ...), so `except ValueError` keeps working. Read next: `records.py`.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "BadItemsError",
    "BundleError",
    "DataError",
    "DependencyError",
    "DivergedError",
    "ItemError",
    "LabelError",
    "ModelError",
    "NotebookError",
    "SpaceError",
    "StorageError",
    "TrainingError",
    "WigglyError",
]


class WigglyError(Exception):
    """Base of all deliberate errors.

    Args:
        rule: What has to hold, naming the argument or file in backquotes; no full stop.
        received: What was found instead; no full stop.
        fix: What to do next, as one or two sentences.

    Example:
        >>> print(WigglyError("`bs` must be at least 1", "it is 0", "Pass bs=64."))
        `bs` must be at least 1; it is 0.
        Pass bs=64.
    """

    def __init__(self, rule: str, received: str, fix: str) -> None:
        self.rule, self.received, self.fix = rule, received, fix
        super().__init__(rule, received, fix)

    def __str__(self) -> str:
        fix = self.fix if self.fix.endswith((".", "!", "?", "`")) else f"{self.fix}."
        return f"{self.rule}; {self.received}.\n{fix}"


class ArgumentError(WigglyError, ValueError):
    """An argument is out of its range, of the wrong kind, or contradicts another."""


class DataError(WigglyError, ValueError):
    """The data cannot be used as asked: no items, an empty split, shapes that do not match."""


class LabelError(DataError):
    """A label is missing, unknown, or cannot be found for an item."""


class ItemError(DataError):
    """One item cannot be read.

    Args:
        item: The item's name (a path, `row 12`), kept for `dls.bad_items`.
        reason: Why, in a few words.
    """

    def __init__(self, item: str, reason: str, fix: str = "Repair or remove it, then run again.") -> None:
        super().__init__("every item must be readable", f"'{item}' is not: {reason}", fix)
        self.item, self.reason = item, reason

    def __reduce__(self) -> tuple[type[ItemError], tuple[str, str, str]]:
        return type(self), (self.item, self.reason, self.fix)


class BadItemsError(DataError):
    """More items are unreadable than a run may skip (1 % by default)."""


class ModelError(WigglyError, ValueError):
    """A model or its weights cannot be made, found or matched to the data."""


class TrainingError(WigglyError, RuntimeError):
    """Training cannot go on."""


class DivergedError(TrainingError):
    """The loss is no number, or far too large to come back; the weights are spoilt."""


class BundleError(WigglyError, ValueError):
    """A bundle is damaged, of another version, or was changed after it was written."""


class NotebookError(WigglyError, ValueError):
    """A notebook cannot be read, or the module asked of it cannot be made."""


class SpaceError(WigglyError, RuntimeError):
    """A Space cannot be made, does not start, or does not answer as its model does."""


class StorageError(WigglyError, OSError):
    """A file could not be written or read; what was there before is untouched."""


class DependencyError(WigglyError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""
