"""Edits carried out on the way from items to samples: who is left out, who changes sides, who is relabelled.

In: a journal, items, a split that was drawn on all of them. Out: the split without what was deleted, labels
changed before any vocabulary is made, and `EditSummary`, which `dls.edits` shows. Read next:
`../block.py`, where this happens.

The splitter sees the list as if there were no edits, and what is deleted leaves its side afterwards; where
files are gone or moved already, `order.py` puts their places back. So a split by seed is the same before and
after: no item changes sides unless a `move` says so.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from wiggly.data.blocks import Block, CategoryBlock, MultiCategoryBlock
from wiggly.data.edits.edit import Edit
from wiggly.data.edits.identity import ItemIds
from wiggly.data.edits.journal import Journal, opened_journal
from wiggly.data.edits.matching import Aside, Matched, match_edits, same_label
from wiggly.data.edits.order import order_before
from wiggly.data.edits.state import ItemState
from wiggly.data.split import RandomSplitter, Splitter
from wiggly.data.vocab import is_missing, plain_label
from wiggly.errors import DataError, WigglyError
from wiggly.records import Split

__all__ = ["EditPlan", "EditSummary", "plan_edits"]

NAMED = 3


@dataclass
class EditSummary:
    """What a journal changed; `dls.edits`.

    Attributes:
        journal: Its file.
        n_edits: Rows that count: neither undone nor damaged.
        deleted: Items left out.
        relabelled: Items with another label than the data gives them.
        moved: Items on the other side of the split than the splitter put them.
        kept: Items that somebody looked at and found right.
        unsure: Items that somebody was unsure of; they take part.
        gone: Deletions of items that are not here any more.
        aside: Rows that were not applied, each with its reason.
    """

    journal: str
    n_edits: int = 0
    deleted: int = 0
    relabelled: int = 0
    moved: int = 0
    kept: int = 0
    unsure: int = 0
    gone: int = 0
    aside: list[Aside] = field(default_factory=lambda: list[Aside]())

    @property
    def applied(self) -> int:
        """Items that the edits left out, relabelled or moved."""
        return self.deleted + self.relabelled + self.moved

    def to_dict(self) -> dict[str, Any]:
        """The same in JSON types."""
        return {**vars(self), "aside": [str(row) for row in self.aside]}

    def __str__(self) -> str:
        counts = ("deleted", "relabelled", "moved", "kept", "unsure", "gone")
        parts = [f"{getattr(self, name):,} {name}" for name in counts if getattr(self, name)]
        parts += [f"{len(self.aside):,} set aside"] if self.aside else []
        return f"{', '.join(parts) or 'nothing to change'} ('{self.journal}')"


class EditPlan:
    """What a journal changes about a list of items; see the module.

    Args:
        journal: The edits.
        matched: Which items they are about.
        ids: Of the items.
    """

    def __init__(self, journal: Journal, matched: Matched, ids: ItemIds) -> None:
        self.journal, self.matched, self.ids = journal, matched, ids
        self.aside = list(matched.aside)
        self.moved: set[int] = set()
        #: The split before and after edits, once `split` was asked for.
        self.drawn_split: Split | None = None
        self.kept_split: Split | None = None
        #: Position to label of the items that `relabel` gave another label than they had.
        self.applied: dict[int, Any] = {}

    @property
    def states(self) -> dict[int, ItemState]:
        """What holds for each item that has edits, by position."""
        return self.matched.states

    @property
    def deleted(self) -> set[int]:
        """Positions of the items that are left out."""
        return {i for i, state in self.states.items() if state.verdict == "delete"}

    @property
    def new_labels(self) -> dict[int, Any]:
        """Position to label of the items that are relabelled."""
        return {i: state.label for i, state in self.states.items() if state.relabelled}

    def drawn(self, items: Sequence[Any], splitter: Splitter, folder: str | Path) -> Split | None:
        """What a splitter would have made of the items before files were moved or removed by these edits: a
        draw by seed goes by an item's place in the list.

        Args:
            items: The items.
            splitter: Items to positions.
            folder: The data's.

        Returns:
            None where the splitter may see the items as they are.
        """
        if isinstance(splitter, RandomSplitter) and splitter.seed is not None:
            before = order_before(items, folder, self.ids, self.matched, self.journal.edits)
            if before is not None:
                sides = splitter(range(len(before)))
                return Split(*([i for k in side if (i := before[k]) is not None] for side in sides))
        return None

    def split(self, split: Split) -> Split:
        """A split of all items, without those that are deleted, and with the moves.

        Raises:
            DataError: A side has no item left.
        """
        self.drawn_split, gone = split, self.deleted
        sides = {"train": list(split.train), "valid": list(split.valid)}
        goes = {i: s.side for i, s in self.states.items() if s.side is not None and i not in gone}
        for name, other in (("train", "valid"), ("valid", "train")):
            here = set(sides[other])
            coming = [i for i, side in goes.items() if side == name and i in here]
            self.moved.update(coming)
            leaving = set(coming)
            sides[other] = [i for i in sides[other] if i not in leaving]
            sides[name] += coming
        made = self.kept_split = Split(*([i for i in side if i not in gone] for side in sides.values()))
        for name, side in zip(("training", "validation"), made, strict=True):
            if not side:
                raise DataError(
                    f"the edits must leave at least 1 item for {name}",
                    f"'{self.journal.path}' leaves none of {len(self.ids):,}",
                    "Undo some of them, or pass another splitter.",
                )
        return made

    def relabel(
        self,
        parts: Sequence[list[Any]],
        split: Split,
        block: Block,
        label_of: Callable[[int], Any] | None = None,
        n_targets: int = 1,
    ) -> None:
        """Changes the raw labels of both sides, in place; a label that does not exist is set aside.

        Args:
            parts: The raw labels of each side.
            split: Positions of each side.
            block: The target, not yet fitted.
            label_of: Label of an item by position, for those that were deleted: their labels exist too.
            n_targets: How many targets an item has; an edit has a label for one only.
        """
        new = self.new_labels
        if n_targets != 1:
            self._refuse_labels(f"an item has {n_targets} targets, and the edit has a label for one")
            return
        known = self._known(parts, block, label_of)
        for positions, raws in zip(split, parts, strict=True):
            for k, position in enumerate(positions):
                if position in new:
                    self._relabel_one(position, raws, k, block, known)

    def _known(
        self, parts: Sequence[list[Any]], block: Block, label_of: Callable[[int], Any] | None
    ) -> set[Any] | None:
        """The labels there are; None where any value will do."""
        if not isinstance(block, CategoryBlock):
            return None
        if not block.needs_fit:
            return set(block.vocab)
        found = {label for raws in parts for raw in raws for label in _labels(raw)}
        if label_of is not None:
            for position in self.deleted:
                with suppress(Exception):  # that may be why it was deleted
                    found.update(_labels(label_of(position)))
        meant = (state for state in self.states.values() if state.relabelled and state.new_class)
        return found.union(*(_labels(state.label) for state in meant))

    def _relabel_one(
        self, position: int, raws: list[Any], k: int, block: Block, known: set[Any] | None
    ) -> None:
        state = self.states[position]
        wrong = _misfit(state.label, block, known)
        if wrong:
            self.put_aside(state, wrong)
            return
        encoded = isinstance(block, MultiCategoryBlock) and block.encoded
        label = [float(v in state.label) for v in block.vocab or ()] if encoded else state.label
        if not same_label(raws[k], label):
            self.applied[position] = label
        raws[k] = label

    def _refuse_labels(self, reason: str) -> None:
        """Sets all relabelling aside."""
        for state in self.states.values():
            if state.relabelled and not any(row.edit is state.decided for row in self.aside):
                self.put_aside(state, reason)

    def put_aside(self, state: ItemState, reason: str, edit: Edit | None = None) -> None:
        """Notes that what holds for an item is not carried out.

        Args:
            state: Of the item.
            reason: Why.
            edit: The row that is not; None for that of the verdict.
        """
        edit = state.decided if edit is None else edit
        self.aside.append(Aside("" if edit is None else edit.path or edit.item, reason, edit))

    def summary(self) -> EditSummary:
        """What was changed, after `split` and `relabel`."""
        verdicts = Counter(state.verdict for state in self.states.values())
        return EditSummary(
            str(self.journal.path),
            self.matched.n_edits,
            verdicts["delete"],
            len(self.applied),
            len(self.moved),
            verdicts["keep"],
            verdicts["unsure"],
            len(self.matched.gone),
            self.aside,
        )

    def warn(self) -> None:
        """Says once that rows were set aside, with the first of them."""
        if not self.aside:
            return
        named = "; ".join(map(str, self.aside[:NAMED]))
        more = f"; and {len(self.aside) - NAMED:,} more" if len(self.aside) > NAMED else ""
        warnings.warn(
            f"{len(self.aside):,} of the edits in '{self.journal.path}' were set aside (all of them are in "
            f"`dls.edits.aside`): {named}{more}",
            stacklevel=6,
        )


def plan_edits(
    edits: str | Path | Journal,
    folder: str | Path,
    ids: ItemIds,
    label_of: Callable[[int], Any] | None = None,
) -> EditPlan:
    """Finds out what a journal changes about items.

    Args:
        edits: The journal, or its path.
        folder: The data's folder, where a relative path is looked for first.
        ids: Of the items.
        label_of: Label of an item by its position, to tell copies apart.

    Raises:
        DataError: There is no such journal, or it is of other data: none of its edits is about any item.
    """
    journal = opened_journal(edits, folder)
    matched = match_edits(journal, ids, label_of)
    strange = [row for row in matched.aside if row.edit is not None]
    if strange and not matched.any_here:
        raise DataError(
            "the edits must be about these items",
            f"none of the {matched.n_edits:,} in '{journal.path}' is about any of the {len(ids):,}; one "
            f"speaks of '{strange[0].name}'",
            "Pass the journal of this data, or the folder that it was made for.",
        )
    if matched.gone and not matched.any_here and not _is_beside(journal, folder):
        reason = (
            f"all of its {matched.n_edits:,} edits delete what is not here, '{matched.gone[0].path}' among "
            "them: that was done already, or these are other data"
        )
        matched.aside.append(Aside(journal.path.name, reason))
    return EditPlan(journal, matched, ids)


def _is_beside(journal: Journal, folder: str | Path) -> bool:
    """Whether a journal lies in the data's folder, and so is theirs."""
    return journal.path.resolve().parent == Path(folder).resolve()


def _labels(raw: Any) -> list[Any]:
    """The labels in a raw value; parts that are no single values are none."""
    if isinstance(raw, (list, tuple, set, frozenset)):
        return [part for part in cast("Iterable[Any]", raw) if isinstance(part, Hashable)]
    if getattr(raw, "ndim", 0):
        return list(raw.tolist())
    return [] if is_missing(raw) else [plain_label(raw)]


def _misfit(label: Any, block: Block, known: set[Any] | None) -> str:
    """Why a target cannot have a label, in a few words; empty when it can."""
    if known is None:
        try:
            block.check(label)
        except WigglyError as error:
            return f"{label!r:.60} cannot be its label: {error.received}"
        return ""
    several = isinstance(block, MultiCategoryBlock)
    if several != isinstance(label, list):
        return f"its target takes {'a list of labels' if several else 'one label'}, and {label!r:.60} is none"
    if several and len(_labels(label)) < len(label):
        return f"{label!r:.60} is no list of single labels"
    lacking = [one for one in _labels(label) if one not in known]
    if not lacking:
        return ""
    near = get_close_matches(str(lacking[0]), map(str, known), 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no item has the label {lacking[0]!r} (any more){hint}"
