"""What a vision learner asks its loaders, so that nobody has to say it twice.

In: loaders, ours or others. Out: outputs, channels, statistics, size, metric. Read next: `learner.py` and
`unet.py`, which ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wiggly.errors import ArgumentError
from wiggly.train.metrics.core import metric_for

__all__ = ["channels", "default_metric", "image_size", "outputs", "statistics"]


def outputs(dls: Any) -> int:
    """Outputs the only target block asks for.

    Raises:
        ArgumentError: There is not exactly one.
    """
    if any(block.name == "TableBlock" for block in getattr(dls, "input_blocks", ())):
        raise ArgumentError(
            "pictures need a network for pictures, tables one for tables",
            "the loaders are of a table",
            "Use tabular_learner(dls).",
        )
    count = getattr(dls, "c", None)
    if isinstance(count, int):
        return count
    blocks = getattr(dls, "target_blocks", ())
    if any(block.name == "BBoxBlock" for block in blocks):
        raise ArgumentError(
            "pictures with boxes need a detector", "the targets are boxes", "Use detection_learner(dls)."
        )
    n = len(blocks)
    raise ArgumentError(
        "`n_out` is needed where the loaders have not exactly one target block",
        f"they have {n}" + (f" with {count} outputs" if n else ""),
        f"Pass n_out={sum(count)} and a loss_func that divides the outputs" if n and count else "Pass n_out=",
    )


def channels(dls: Any) -> int:
    """Channels of the images; 3 if the loaders do not tell."""
    blocks = getattr(dls, "input_blocks", ())
    return int(getattr(blocks[0], "channels", 3)) if blocks else 3


def _transforms(dls: Any) -> list[Any]:
    """Transforms in the order in which they act."""
    return [*getattr(dls, "item_tfms", ()), *getattr(dls, "batch_tfms", ())]


def statistics(dls: Any) -> tuple[Sequence[float], Sequence[float]] | None:
    """Those of the last `Normalize` among the transforms."""
    found = [t for t in _transforms(dls) if getattr(t, "name", None) == "Normalize"]
    return (found[-1].mean, found[-1].std) if found else None


def image_size(dls: Any) -> tuple[int, int] | None:
    """Height and width that the last transform with a size leaves the images in."""
    sizes = [t.size for t in _transforms(dls) if getattr(t, "size", None)]
    if not sizes:
        return None
    return (sizes[-1], sizes[-1]) if isinstance(sizes[-1], int) else (int(sizes[-1][0]), int(sizes[-1][1]))


def default_metric(dls: Any) -> Any:
    """The metric the only target block names."""
    blocks = getattr(dls, "target_blocks", ())
    return metric_for(blocks[0]) if len(blocks) == 1 else None
