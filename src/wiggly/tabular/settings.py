"""Layers, embeddings and settings of a network for tables, checked before it is made.

In: arguments of `tabular_learner`. Out: nothing, or an error that names the argument. Read next:
`learner.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wiggly.errors import ArgumentError

__all__ = ["check_layers", "check_loaders", "check_settings", "check_sizes"]

SHARES = ("ps", "embed_p", "dropout")
LEAST = {"members": 1, "num_width": 1, "n_bins": 1, "n_levels": 0}


def check_loaders(dls: Any) -> None:
    """Refuses what holds no rows of a table.

    Raises:
        ArgumentError: They are no loaders of a table.
    """
    if not hasattr(dls, "target_blocks"):
        raise ArgumentError(
            "`tabular_learner` takes the loaders of a table",
            f"it got a {type(dls).__name__}",
            'Make them first: dls = TabularDataLoaders.from_df(table, y_names="...").',
        )


def check_layers(layers: Any) -> None:
    """Refuses what are no widths of layers.

    Raises:
        ArgumentError: It is no list, or a width is no whole number above 0.
    """
    listed = isinstance(layers, Sequence) and not isinstance(layers, str)
    if not listed or any(not _is_count(width, 1) for width in layers):
        raise ArgumentError(
            "`layers` must be a list of widths, whole numbers above 0",
            f"it is {layers!r}",
            "E.g. layers=[200, 100].",
        )


def check_sizes(emb_szs: Any, classes: Mapping[str, Sequence[Any]]) -> None:
    """Refuses sizes of embeddings that do not fit the categories.

    Args:
        emb_szs: As `tabular_learner` takes it.
        classes: The values of each category.

    Raises:
        ArgumentError: They are neither widths by column nor a pair for each category, or a pair is too small.
    """
    if emb_szs is None:
        return
    fix = f"Pass e.g. {{{next(iter(classes), 'city')!r}: 5}}, or leave it out."
    if isinstance(emb_szs, Mapping):
        wrong = [width for width in emb_szs.values() if not _is_count(width, 1)]
        if wrong:
            raise ArgumentError(
                "widths in `emb_szs` must be whole numbers above 0", f"one is {wrong[0]!r}", fix
            )
        return
    pairs = isinstance(emb_szs, Sequence) and all(isinstance(p, Sequence) and len(p) == 2 for p in emb_szs)
    if not pairs or len(emb_szs) != len(classes):
        raise ArgumentError(
            "`emb_szs` must be widths by column, or (values, width) for each category",
            f"it is {emb_szs!r}; there are {len(classes)} categories",
            fix,
        )
    for (n, width), (name, values) in zip(emb_szs, classes.items(), strict=True):
        if not _is_count(n, len(values)) or not _is_count(width, 1):
            raise ArgumentError(
                f"the embedding of {name!r} must have room for its {len(values)} values, #na# included",
                f"`emb_szs` gives ({n}, {width})",
                fix,
            )


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuses settings of a network that are out of range.

    Raises:
        ArgumentError: One is.
    """
    for name in set(SHARES) & set(settings):
        value = settings[name]
        for share in value if isinstance(value, Sequence) and not isinstance(value, str) else [value]:
            if not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ArgumentError(f"`{name}` must be from 0 to 1", f"it is {value!r}", "E.g. 0.1.")
    for name, least in LEAST.items():
        if name in settings and not _is_count(settings[name], least):
            raise ArgumentError(
                f"`{name}` must be a whole number, at least {least}",
                f"it is {settings[name]!r}",
                "Leave it out for the usual one.",
            )


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
