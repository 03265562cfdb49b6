"""An item that is reviewed, and what is suspected of it.

In: loaders and suspects. Out: `ReviewItem`s, training items first. Read next: `review.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wiggly.data.dataset import Dataset
from wiggly.data.edits.identity import ItemIds
from wiggly.data.vocab import is_missing
from wiggly.errors import ArgumentError

if TYPE_CHECKING:
    from wiggly.clean.suspects.suspect import Suspect

__all__ = ["Finding", "ReviewItem", "items_of", "vocab_of"]

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is suspected of an item.

    Attributes:
        kind: One of `wiggly.clean.suspects.suspect.KINDS`.
        score: In [0, 1].
        reason: In words.
        predicted: What it is likelier to be; None where nobody says.
        others: Positions of its copies.
    """

    kind: str
    score: float
    reason: str
    predicted: Any = None
    others: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A picture, its label in the data, and what is suspected of it.

    Attributes:
        file: Its path.
        given: Its label, or a list of labels; None without.
        split: "train" or "valid".
        findings: Surest first.
        predicted: What a model says; None where none was asked.
        loss: Of that model.
    """

    file: str
    given: Any = None
    split: str = "train"
    findings: tuple[Finding, ...] = ()
    predicted: Any = None
    loss: float | None = None

    @property
    def score(self) -> float:
        """The highest of its findings' scores; 0 without."""
        return max((finding.score for finding in self.findings), default=0.0)

    @property
    def likelier(self) -> Any:
        """What it is likelier to be, after the surest finding that says so."""
        found = (finding.predicted for finding in self.findings if finding.predicted is not None)
        return next(found, self.predicted)


def items_of(
    dls: Any,
    suspects: Sequence[Suspect] = (),
    losses: Mapping[Place, float] | None = None,
    predicted: Mapping[Place, Any] | None = None,
) -> list[ReviewItem]:
    """The pictures of loaders, training items first.

    Args:
        dls: Loaders whose first input is a file.
        suspects: What is suspected of them.
        losses: Loss by split and position.
        predicted: What a model says, by split and position.

    Raises:
        ArgumentError: Their items are no files.
    """
    sides: dict[str, Dataset] = {}
    for name in ("train", "valid"):
        dataset = getattr(getattr(dls, name), "dataset", None)
        if not isinstance(dataset, Dataset):
            raise _no_files(f"the samples are a {type(dataset).__name__}")
        sides[name] = dataset
    start = {"train": 0, "valid": len(sides["train"].items)}
    findings: dict[Place, list[Finding]] = {}
    for one in suspects:
        others = tuple(start[split] + position for split, position in one.others)
        found = Finding(one.kind, float(one.score), one.reason, _plain(one.predicted), others)
        findings.setdefault((one.split, one.position), []).append(found)
    made: list[ReviewItem] = []
    for split, dataset in sides.items():
        labels = _labels(dataset)
        for position, file in enumerate(ItemIds(dataset.items, dataset.getters[0]).files):
            if file is None:
                raise _no_files(f"item {position} of {split} is none")
            place = (split, position)
            ranked = tuple(sorted(findings.get(place, ()), key=lambda f: -f.score))
            own = None if predicted is None else _plain(predicted.get(place))
            loss = None if losses is None else losses.get(place)
            made.append(ReviewItem(os.fspath(file), labels[position], split, ranked, own, loss))
    return made


def vocab_of(dls: Any, items: Sequence[ReviewItem]) -> list[Any]:
    """The labels there are: the target's vocabulary, and whatever else items have."""
    blocks: Any = getattr(dls, "target_blocks", None) or ()
    known = [_plain(label) for label in (getattr(blocks[0], "vocab", None) or ())] if blocks else []
    given = (part for item in items for part in parts_of(item.given))
    return [*known, *sorted(set(given) - set(known), key=str)]


def parts_of(label: Any) -> list[Any]:
    """A label as a list of labels: none, one, or several."""
    if label is None:
        return []
    return list(label) if isinstance(label, list) else [label]  # pyright: ignore[reportUnknownArgumentType]


def _labels(dataset: Dataset) -> list[Any]:
    """The label of each item; None for masks, boxes, and what cannot be read."""
    n = len(dataset.items)
    if not dataset.labelled or dataset.n_inp >= len(dataset.blocks):
        return [None] * n
    made: list[Any] = []
    for position in range(n):
        try:
            made.append(_plain(dataset.raw(position, dataset.n_inp)))
        except Exception:  # what is wrong with it is said by `suggest`
            made.append(None)
    return made


def _plain(label: Any) -> Any:
    """A label in JSON types; None for masks and the like."""
    if label is None or isinstance(label, (str, bool, int)):
        return label
    if hasattr(label, "tolist"):
        return _plain(label.tolist())
    if isinstance(label, (list, tuple, set, frozenset)):
        parts: list[Any] = [_plain(part) for part in label]  # pyright: ignore[reportUnknownVariableType]
        return parts if all(isinstance(part, (str, int)) for part in parts) else None
    if isinstance(label, float):
        return None if is_missing(label) else label
    made: Any = label.item() if hasattr(label, "item") else None
    return made if isinstance(made, (str, int)) else None


def _no_files(received: str) -> ArgumentError:
    return ArgumentError(
        "a review shows pictures that are files, one by one",
        received,
        "Build the loaders of files, e.g. with ImageDataLoaders.from_folder or from_df.",
    )
