"""`ImageClassifierCleaner`: what the model finds hardest, to be kept, relabelled or deleted in a notebook.

In: a trained learner, marks made with mouse or keys. Out: the marks, as rows of a journal when they are made,
and as the positions that the course's loop carries out. Read next: `ranking.py`, which looks at the items;
`carrier.py`, which shows them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from math import isfinite
from pathlib import Path
from threading import RLock
from typing import Any
from uuid import uuid4

from wiggly.clean.review.item import Finding, ReviewItem
from wiggly.clean.review.review import Review
from wiggly.clean.widget.carrier import Carrier, check_anywidget
from wiggly.clean.widget.note import note_of, told
from wiggly.clean.widget.places import data_folder, journal_of
from wiggly.clean.widget.ranking import SIDES, Ranked, rank_items
from wiggly.data.basics import L
from wiggly.data.edits.identity import refs_of
from wiggly.data.edits.journal import Journal
from wiggly.data.edits.matching import same_label
from wiggly.data.edits.state import ItemState
from wiggly.errors import ArgumentError, DataError
from wiggly.train.progress import in_notebook

__all__ = ["ImageClassifierCleaner"]


class ImageClassifierCleaner:
    """Items of one label and one side of the split, highest loss first, each with what to do about it.

    The last line of a cell shows it. Every mark is a row of a journal at once, and stays whatever is chosen
    above; nothing is moved or deleted by it. Carry the marks out with the course's loop,

        for idx in cleaner.delete(): cleaner.fns[idx].unlink()
        for idx, cat in cleaner.change(): shutil.move(str(cleaner.fns[idx]), path/cat)

    or leave the files where they are and train with `edits=cleaner.edits`, which can be undone.

    Args:
        learn: A trained learner of pictures with one label each, from a folder, a list or a table of files.
        opts: More labels to choose from, beside those of the learner.
        height: Of a picture on the screen, pixels.
        width: Of a picture, pixels.
        max_n: At most so many items of a label and side are shown.
        edits: The journal, or its path; None goes on with the one that the loaders apply, else takes
            `edits.jsonl` beside the data, or in the working folder where one may not write there.

    Raises:
        ArgumentError: It is no such learner, or a number is not positive.
        DataError: The items are no files, or the journal is of other data.
        DependencyError: In a notebook: anywidget is not installed.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from wiggly import ImageDataLoaders, vision_learner
        >>> for i in range(12):
        ...     Path("photos", "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        ...     Image.new("RGB", (32, 32), (20 * i, 0, 0)).save(f"photos/{'ab'[i % 2]}/{i}.png")
        >>> dls = ImageDataLoaders.from_folder("photos", valid_pct=0.5, seed=42, bs=4)
        >>> cleaner = ImageClassifierCleaner(vision_learner(dls, "test_resnet", pretrained=False), max_n=2)
        >>> cleaner.choose("b", "valid")
        >>> len(cleaner.fns), cleaner.delete(), cleaner.change(), cleaner.edits.path.name
        (2, [], [], 'edits.jsonl')
    """

    def __init__(
        self,
        learn: Any,
        opts: Sequence[Any] = (),
        height: int = 128,
        width: int = 256,
        max_n: int = 30,
        *,
        edits: str | Path | Journal | None = None,
    ) -> None:
        for name, value in (("height", height), ("width", width), ("max_n", max_n)):
            if value < 1:
                raise ArgumentError(f"`{name}` must be at least 1", f"it is {value}", "Leave it out.")
        self.opts, self.height, self.width, self.max_n = list(opts), height, width, max_n
        if in_notebook():
            check_anywidget()
        ranked = rank_items(learn)
        self.vocab = list(learn.target_block.vocab)
        files = _files(learn)
        folder = data_folder(learn.dls.path, files)
        self.edits = journal_of(learn.dls, edits, folder)
        items = [_item(file, one) for file, one in zip(files, ranked, strict=True)]
        self.review = Review(items, self.edits, self.vocab, root=folder, confined=False)
        self._lock = RLock()
        self.number = uuid4().hex
        self._view: list[int] = []
        self.choose(self.vocab[0], "train")

    # What is shown

    def choose(self, category: Any, split: str = "train") -> None:
        """Chooses what is shown, as the two choosers do.

        Args:
            category: A label.
            split: "train" or "valid".

        Raises:
            ArgumentError: There is no such label or side.
        """
        side = str(split).lower()
        if category not in self.vocab or side not in SIDES:
            raise ArgumentError(
                "the choosers have the labels, and 'train' and 'valid'",
                f"got {category!r} and {split!r}",
                f"Labels are {', '.join(map(repr, self.vocab[:6]))}.",
            )
        chosen = {"given": category, "split": side, "order": "loss", "limit": self.max_n}
        self.answer({"do": "query", **chosen})

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answers one request of the front end.

        Args:
            request: In the protocol of `Review.answer`.
        """
        made = self.review.answer(request)
        if request.get("do") == "query" and "positions" in made:
            with self._lock:
                self._view = [int(position) for position in made["positions"]]
        return made

    # What the course's loop carries out

    @property
    def fns(self) -> L:
        """The files that `delete` and `change` speak of: first those that are shown, in their order, then
        those marked elsewhere."""
        return L(Path(self.review.items[position].file) for position in self._places())

    def delete(self) -> L:
        """Positions in `fns` of what is marked to be deleted and is still there."""
        states = self.review.states
        return L([at for at, place in self._there() if place in states and _goes(states[place])])

    def change(self) -> L:
        """`(position in fns, new label)` of what is marked to be another label and is still there."""
        states, items = self.review.states, self.review.items
        return L(
            [
                (at, self._own(states[place].label))
                for at, place in self._there()
                if place in states and _changes(states[place], items[place])
            ]
        )

    def _places(self) -> list[int]:
        """Positions of the items in `fns`; they do not shift while files are moved."""
        items = self.review.items
        marked = [p for p, s in sorted(self.review.states.items()) if _goes(s) or _changes(s, items[p])]
        with self._lock:
            seen = set(self._view)
            return [*self._view, *(place for place in marked if place not in seen)]

    def _there(self) -> list[tuple[int, int]]:
        """Position in `fns`, and in the review, of the items whose file is still there."""
        items = self.review.items
        return [(at, place) for at, place in enumerate(self._places()) if os.path.exists(items[place].file)]

    def _own(self, label: Any) -> Any:
        """The label as the vocabulary has it, which a journal may write in another way."""
        return next((own for own in [*self.vocab, *self.opts] if same_label(own, label)), label)

    # Notebooks

    @property
    def settings(self) -> dict[str, Any]:
        """How the front end begins."""
        return {
            "number": self.number,
            "labels": list(map(str, self.opts)),
            "height": self.height,
            "width": self.width,
            "limit": self.max_n,
        }

    @cached_property
    def _carrier(self) -> Carrier:
        return Carrier(self)

    def widget(self) -> Any:
        """The anywidget, for code that puts it beside other widgets.

        Raises:
            DependencyError: anywidget is not installed.
        """
        return self._carrier.widget

    def _ipython_display_(self) -> None:
        self._carrier.display()

    def _repr_html_(self) -> str:
        return note_of(self)

    def __repr__(self) -> str:
        return (
            f"ImageClassifierCleaner of {len(self.review.items):,} pictures: {told(self)} "
            f"(in '{self.edits.path}'). A notebook shows it."
        )


def _goes(state: ItemState) -> bool:
    return state.verdict == "delete"


def _changes(state: ItemState, item: ReviewItem) -> bool:
    """Whether it is marked to be what the data do not say; loaders may have applied the mark already."""
    return state.relabelled and not same_label(item.given, state.label)


def _files(learn: Any) -> list[str]:
    """The files of all items, training items first.

    Raises:
        DataError: An item is none.
    """
    files = [file for side in refs_of(learn.dls) for file in side.files]
    lacking = [number for number, file in enumerate(files) if file is None]
    if lacking:
        raise DataError(
            "the pictures to be cleaned must be files",
            f"{len(lacking):,} of {len(files):,} items have none",
            "Pass a learner whose items, or whose tables' cells, are paths of pictures.",
        )
    return [str(file) for file in files]


def _item(file: str, ranked: Ranked) -> ReviewItem:
    """An item as the review has it, with a word on it where the model does not agree."""
    found: tuple[Finding, ...] = ()
    loss = ranked.loss if ranked.loss is not None and isfinite(ranked.loss) else None
    if ranked.problem:
        found = (Finding("unreadable", 1.0, ranked.problem),)
    elif ranked.predicted != ranked.given and ranked.probability is not None:
        said = f"the model takes it for {ranked.predicted} ({ranked.probability:.0%})"
        found = (Finding("loss", ranked.probability, said, ranked.predicted),)
    return ReviewItem(file, ranked.given, ranked.split, found, ranked.predicted, loss)
