"""One edit: what somebody decided about an item, as a row of a journal and back.

In: a decision, or a line of `edits.jsonl`. Out: `Edit`, and the line. A line is a JSON object; `version` is
1, `item` the item's content as a hash, `path` only a hint for people and for telling copies apart. Fields
that are not known here are left alone. Read next: `journal.py`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import Any, Literal, cast, get_args

from wiggly.errors import ArgumentError

__all__ = ["FORMAT", "SIDES", "VERDICTS", "Edit", "ItemRef", "Kind", "made_edit", "read_edit", "write_edit"]

#: Version of a row.
FORMAT = 1

Kind = Literal["keep", "relabel", "delete", "unsure", "move", "undo", "redo"]
KINDS = cast("tuple[Kind, ...]", get_args(Kind))
#: Of an item the last of these stands; a move to the other side of the split stands beside it.
VERDICTS = ("keep", "relabel", "delete", "unsure")
SIDES = ("train", "valid")

LONGEST_LABEL = 1000
# A hash of the content, after what was hashed; the digits are those of `sha256sum`.
_ITEM = re.compile(r"(file|row|value):[0-9a-f]{64}")
_TEXTS = ("path", "reason", "time", "author", "id", "of")


@dataclass(frozen=True)
class ItemRef:
    """What an edit says of the item that it is about.

    Attributes:
        id: `file:`, `row:` or `value:` and the SHA-256 of the content.
        path: Where it was when it was edited, below the data's folder, with "/"; of a row, its number.
        label: Its label then.
        size: Bytes of the file; only files of this size are then hashed to find it again.
        copies: Items with this very content in the data. With several, the path tells them apart.
    """

    id: str
    path: str = ""
    label: Any = None
    size: int | None = None
    copies: int = 1


@dataclass(frozen=True)
class Edit:
    """A row of a journal.

    Attributes:
        kind: keep, relabel, delete, unsure; move (to the other side of the split); undo, redo.
        item: Hash of the item's content.
        path: Where the item was.
        old: The label before, or the side.
        new: The label, a list of labels, or the side ("train", "valid").
        reason: Why, in words.
        time: When, UTC, ISO 8601.
        author: Who.
        id: Of this row, random.
        of: The row that is undone or redone.
        size: Bytes of the file.
        copies: Items with this very content when the row was written.
        new_class: The label is meant to be new; otherwise one that no item has is set aside.

    Example:
        >>> edit = made_edit("relabel", ItemRef("file:" + "0" * 64, "ant/1.jpg", "ant"), "bee", author="Ann")
        >>> edit.old, edit.new, read_edit(write_edit(edit)) == edit
        ('ant', 'bee', True)
    """

    kind: Kind
    item: str
    path: str = ""
    old: Any = None
    new: Any = None
    reason: str = ""
    time: str = ""
    author: str = ""
    id: str = ""
    of: str = ""
    size: int | None = None
    copies: int = 1
    new_class: bool = False

    @property
    def about(self) -> str:
        """The item this is about, as far as that can be said without the data: of copies each by its path."""
        return self.item if self.copies == 1 else f"{self.item} {self.path}"

    def __str__(self) -> str:
        change = "" if self.kind not in ("relabel", "move") else f" {self.old!r} → {self.new!r}"
        return f"{self.kind} {self.path or self.item}{change}"


def made_edit(
    kind: Kind,
    item: ItemRef,
    new: Any = None,
    *,
    old: Any = None,
    reason: str = "",
    author: str = "",
    of: str = "",
    new_class: bool = False,
) -> Edit:
    """A checked row, with a new id and the time.

    Args:
        kind: What was decided.
        item: About which item.
        new: The label of a relabel, the side of a move.
        old: The label before; None takes the item's. Of a move, the side.
        reason: Why.
        author: Who.
        of: The row that is undone or redone.
        new_class: See `Edit`.

    Raises:
        ArgumentError: A field is not what it must be.
    """
    if not isinstance(cast("Any", item), ItemRef):
        raise ArgumentError(
            "an edit must be about an item of the data",
            f"it is {item!r:.60}",
            "Pass ItemIds(files).ref(position), or refs_of(dls).train.ref(position).",
        )
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    before = (None if kind == "move" else _short(item.label)) if old is None else _plain(old)
    edit = Edit(
        kind,
        item.id,
        item.path,
        before,
        _plain(new),
        reason,
        now,
        author,
        secrets.token_hex(8),
        of,
        item.size,
        item.copies,
        new_class,
    )
    wrong = _wrong(edit)
    if wrong:
        raise ArgumentError("an edit must be one that a journal can hold", wrong, "Mend that field.")
    return edit


def _plain(label: Any) -> Any:
    """A label as JSON has it.

    Raises:
        ArgumentError: It has no such form.
    """
    if hasattr(label, "tolist"):  # numpy, torch
        label = label.tolist()
    if isinstance(label, PathLike):
        label = fspath(cast("PathLike[str]", label)).replace("\\", "/")
    if label is None or isinstance(label, (str, bool, int)) or (isinstance(label, float) and label == label):
        return label
    if isinstance(label, Iterable) and not isinstance(label, (bytes, dict)):
        parts = [_plain(part) for part in cast("Iterable[Any]", label)]
        return sorted(parts, key=str) if isinstance(label, (set, frozenset)) else parts
    raise ArgumentError(
        "a label in a journal must be a text, a number, or a list of these",
        f"it is {label!r:.60}, a {type(label).__name__}",
        "Give its name instead.",
    )


def _short(label: Any) -> Any:
    """A label that a row can hold; None for masks, boxes and the like."""
    try:
        made = _plain(label)
    except ArgumentError:
        return None
    return made if not isinstance(made, list) or len(str(made)) < LONGEST_LABEL else None  # pyright: ignore[reportUnknownArgumentType]


def _wrong(edit: Edit) -> str:
    """What is wrong with a row, in a few words; empty when nothing is."""
    if edit.kind not in KINDS:
        return f"its kind is {edit.kind!r}, which is none of {', '.join(KINDS)}"
    if not _ITEM.fullmatch(str(edit.item)):
        return f"its item {edit.item!r:.60} is no hash of content"
    if any(not isinstance(getattr(edit, name), str) for name in _TEXTS):
        return f"one of {', '.join(_TEXTS)} is no text"
    if not edit.id:
        return "it has no id"
    if not _is_count(edit.copies, 1) or not (edit.size is None or _is_count(edit.size, 0)):
        return "`size` or `copies` is no count"
    if edit.kind == "relabel" and edit.new is None:
        return "a relabel has no new label"
    if not _is_label(edit.new) or not _is_label(edit.old):
        return "a label is no text, no number and no list of these"
    if edit.kind == "move" and edit.new not in SIDES:
        return f"a move goes to {edit.new!r}, not to 'train' or 'valid'"
    if edit.kind in ("undo", "redo") and not edit.of:
        return f"it does not say which row is meant by `{edit.kind}`"
    return ""


def _is_label(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_label, cast("list[Any]", value)))
    return value is None or isinstance(value, (str, int, float))


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


_DEFAULTS: dict[str, Any] = {"of": "", "size": None, "copies": 1, "new_class": False}


def write_edit(edit: Edit) -> str:
    """The line of a row, without its end."""
    fields: dict[str, Any] = {"version": FORMAT, "id": edit.id, **vars(replace(edit))}
    shown = {k: v for k, v in fields.items() if k not in _DEFAULTS or v != _DEFAULTS[k]}
    text = json.dumps(shown, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is no text
        return json.dumps(shown, allow_nan=False)
    return text


def read_edit(line: str) -> Edit:
    """The row in a line.

    Raises:
        ValueError: It is none; the message says why, in a few words.
    """
    try:
        found: Any = json.loads(line)
    except ValueError:
        whole = line.rstrip().endswith("}")
        raise ValueError("it is no JSON" if whole else "it is cut off: whoever wrote it was ended") from None
    except RecursionError:
        raise ValueError("it is no JSON that can be read") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    version: Any = cast("dict[str, Any]", found).get("version")
    if version != FORMAT:
        newer = type(version) is int and version > FORMAT
        raise ValueError(f"its version is {version!r}, {'of a newer wiggly' if newer else f'not {FORMAT}'}")
    known = {k: v for k, v in cast("dict[str, Any]", found).items() if k in Edit.__dataclass_fields__}
    lacking = [name for name in ("kind", "item", "id") if name not in known]
    if lacking:
        raise ValueError(f"it has no {lacking[0]}")
    edit = Edit(**known)
    wrong = _wrong(edit)
    if wrong:
        raise ValueError(wrong)
    return edit
