"""One line for each kind of finding that says what to do, for a shell and for Python.

In: the kind. Out: the line; `{list}` is the command that prints the files concerned, one a line. Read next:
`rules.py`.
"""

from __future__ import annotations

import shlex

from wiggly.vision.check.findings import COPIES
from wiggly.vision.check.subject import Subject

__all__ = ["fix_for"]

_DELETE = "{list} | tr '\\n' '\\0' | xargs -0 rm --"
_KEEP = "get_items=lambda p: [f for f in get_image_files(p) if f not in dls.last_check.spare('{kind}')]"
_TURNED = "nothing to do: pictures are turned upright as they are read"
_GROUPS = "import zlib; splitter=FuncSplitter(lambda item: zlib.crc32(str(group(item)).encode()) % 5 == 0)"
_MOVE_GROUPS = "move all files of a group to one side: into `train` or into `valid`"

#: Kind to what to do in a shell, and in Python.
FIXES: dict[str, tuple[str, str]] = {
    "unreadable": (_DELETE, _KEEP),
    "damaged": ("look at them; to delete them: " + _DELETE, "look at them; to leave them out: " + _KEEP),
    "wrong-suffix": (
        "nothing to do here: files are read by content; rename them for other programs",
        "nothing to do: files are read by content",
    ),
    "left-out": (
        "turn them into JPEG first, e.g. for HEIC: heif-convert IMG.heic IMG.jpg",
        "turn them into JPEG first, e.g. with pillow-heif",
    ),
    "small": ("look at them; to delete them: " + _DELETE, "look at them; to leave them out: " + _KEEP),
    "elongated": (
        "look at a batch: training cuts the ends off",
        "item_tfms=Resize(224, method='pad', pad_mode='zeros') keeps the ends",
    ),
    "mixed-sizes": ("add a transform that makes them equal", "item_tfms=Resize(224)"),
    "colour-modes": (
        "nothing to do: all are read as RGB, transparent parts as white",
        "nothing to do: all are read as RGB, transparent parts as white",
    ),
    "turned-by-exif": (_TURNED, _TURNED),
    "empty-class": (
        "add pictures, or remove the empty folder: find {folder} -type d -empty -delete",
        "add pictures, or leave the class out of CategoryBlock(vocab=[...])",
    ),
    "rare-class": (
        "add pictures of them, or leave these classes out",
        "add pictures of them, or leave these classes out",
    ),
    "class-only-in-valid": (
        "move some of their pictures to the training side (of a random split: another --seed)",
        "splitter=TrainTestSplitter(0.2, random_state=42, stratify=labels)",
    ),
    "class-not-in-valid": (
        "move some of their pictures to the validation side (of a random split: another --seed)",
        "splitter=TrainTestSplitter(0.2, random_state=42, stratify=labels)",
    ),
    "imbalance": (
        "add pictures of the small classes; read their recall in the report, not the accuracy alone",
        "add pictures of the small classes; read their recall in the report, not the accuracy alone",
    ),
    "no-label": (
        "move them into class folders, mend the pattern, or list them: {list}",
        "mend `get_y`, or leave them out in `get_items`",
    ),
    "repeated-item": ("delete the repeated rows of the table", "df = df.drop_duplicates()"),
    "exact-across": (_DELETE, _KEEP),
    "near-across": (_DELETE, _KEEP),
    "mirrored-across": (_DELETE, _KEEP),
    "exact-copies": (_DELETE, _KEEP),
    "near-copies": (_DELETE, _KEEP),
    "mirrored-copies": (
        "nothing to do, unless left and right matter: {list}",
        "nothing to do, unless left and right matter",
    ),
    "conflicting-labels": (
        "look which label is right, then delete the others: {list}",
        "look which label is right, then leave the others out in `get_items`",
    ),
    "near-conflict": (
        "look which label is right, then delete the others: {list}",
        "look which label is right, then leave the others out in `get_items`",
    ),
    "not-compared": (
        "split by what the pictures come from, then check that: --group-regex '(video\\d+)_'",
        "split by what the pictures come from, then check that: dls.check(groups=...)",
    ),
    "group-across": (_MOVE_GROUPS, _GROUPS),
    "group-guess": (
        "if these are the same thing, check them: {command} --group-regex {pattern}",
        "if these are the same thing, check them: dls.check(groups=r{pattern})",
    ),
    "mask-unreadable": (
        "repair the masks, or leave their pictures out",
        "repair them, or leave their pictures out",
    ),
    "mask-size": (
        "save each mask in the size of its picture, without resizing one of them",
        "save each mask in the size of its picture, without resizing one of them",
    ),
    "mask-codes": ("list every class in `codes`", "MaskBlock(codes=[...]) with a name for every index"),
    "mask-turned": (
        "turn the masks as EXIF turns the pictures",
        "turn the masks as EXIF turns the pictures, or save the pictures without EXIF",
    ),
    "boxes": (
        "mend the boxes",
        "mend `get_y`: x1, y1, x2, y2 in pixels of the upright picture, x1 < x2, y1 < y2",
    ),
}


def fix_for(kind: str, subject: Subject, pattern: str = "") -> str:
    """What to do about a finding, in one line."""
    line = FIXES[kind][0 if subject.how == "shell" else 1]
    command = subject.command or f"wiggly data check {shlex.quote(subject.root)}"
    # A split drawn at random is another one when files are gone: then all spare copies have to go at once.
    listed = "copies" if subject.random and kind in COPIES else kind
    texts = {
        "{list}": f"{command} --list {listed}",
        "{command}": command,
        "{folder}": shlex.quote(subject.root),
        "{kind}": listed,
        "{pattern}": shlex.quote(pattern),
    }
    for place, text in texts.items():
        line = line.replace(place, text)
    return line
