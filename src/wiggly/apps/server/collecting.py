"""What visitors say a picture really shows: each one an edit in a journal, with the picture beside it.

In: a picture's bytes, what the model said, what the visitor says. Out: `DIR/<predicted>/<SHA-256>.jpg` and a
row of `DIR/edits.jsonl`, which the tools of `wiggly clean` open. A picture is first whole in `DIR/.incoming`,
then the row is written, then the picture takes its place: whoever is killed in between leaves nothing half,
and the next server ends what was begun. Read next: `routes.py`; `../../data/edits/journal.py`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from wiggly.apps.server.inputs import FORMATS
from wiggly.apps.server.limits import Limits
from wiggly.apps.server.refusals import Refusal
from wiggly.data.edits.appending import flush_names, locked
from wiggly.data.edits.edit import ItemRef
from wiggly.data.edits.journal import NAME, Journal
from wiggly.errors import ArgumentError, StorageError, WigglyError

__all__ = ["VISITOR", "Collector", "Kept", "classes_of"]

#: Author of the rows.
VISITOR = "visitor"

#: Ending of a file, by what Pillow found in it; a telephone's MPO is a JPEG with more behind it.
ENDINGS = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "AVIF": ".avif",
}

INCOMING = ".incoming"
ROW_BYTES = 1_000  # of the journal, for a row with the longest names
LONGEST_NAME = 200  # bytes; most file systems take 255

# No folder may be called so somewhere (Windows is the strictest), or it would be hidden.
_UNFIT = re.compile(r'^\.|[/\\<>:"|?*\x00-\x1f]|[. ]$')


@dataclass(frozen=True)
class Kept:
    """A correction that is on the disk.

    Attributes:
        item: SHA-256 of the picture's file.
        predicted: What the model had said.
        label: What the visitor says.
        new: Whether a row was written; not when the same was said before, or somebody who looks after the
            data has decided about this picture.
    """

    item: str
    predicted: str
    label: str
    new: bool


def classes_of(manifest: Any) -> list[str]:
    """The names of a model's classes, as folders can have them.

    Args:
        manifest: Of the bundle.

    Raises:
        ArgumentError: Corrections of such a model cannot be kept as folders of pictures.
    """
    kinds = [manifest.inputs[0].kind, *[output.kind for output in manifest.outputs]]
    if kinds != ["image", "category"]:
        raise ArgumentError(
            "corrections can be collected for a model that gives each picture one class",
            f"this one takes {manifest.inputs[0].kind!r} and gives {', '.join(map(repr, kinds[1:]))}",
            "Leave `collect` out.",
        )
    names = [str(label) for label in manifest.outputs[0].vocabulary]
    unfit = [name for name in names if not name or _UNFIT.search(name) or len(name.encode()) > LONGEST_NAME]
    twice = len({name.casefold() for name in names}) < len(names)
    if unfit or twice:
        told = f"the class {unfit[0]!r} cannot be one" if unfit else "two classes differ in capitals only"
        raise ArgumentError(
            "corrections are kept in folders named after the classes",
            told,
            "Leave `collect` out, or export a model whose classes have other names.",
        )
    return names


class Collector:
    """Keeps corrections in a folder; several threads and servers may share it.

    Args:
        folder: Made if missing.
        classes: From `classes_of`.
        limits: `max_collected` bytes in the folder, `corrections_per_minute`.

    Raises:
        StorageError: The folder cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str], classes: Sequence[str], limits: Limits) -> None:
        self.folder, self.classes, self.limits = Path(folder), list(classes), limits
        self.journal = Journal(self.folder / NAME, author=VISITOR)
        self._incoming = self.folder / INCOMING
        self._tokens, self._looked = float(limits.corrections_per_minute), time.monotonic()
        self._counting = threading.Lock()
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            with locked(self._incoming / "lock"):
                self._end_what_was_begun()
        except OSError as error:
            raise StorageError(
                "`collect` must be a folder that can be written to",
                f"'{self.folder}' cannot: {error.strerror or error}",
                "Name another folder; it is made if missing.",
            ) from error

    def check_rate(self) -> None:
        """Counts one correction.

        Raises:
            Refusal: There were too many within a minute, whoever sent them.
        """
        most = self.limits.corrections_per_minute
        with self._counting:
            now = time.monotonic()
            self._tokens = min(float(most), self._tokens + (now - self._looked) * most / 60)
            self._looked = now
            if self._tokens >= 1:
                self._tokens -= 1
                return
            wait = int((1 - self._tokens) * 60 / most) + 1
        raise Refusal(
            "too_often",
            f"at most {most:,} corrections are taken in a minute",
            "more have come",
            "Send it again a little later.",
            {"Retry-After": str(wait)},
        )

    def check_label(self, label: str) -> str:
        """A label that the model has.

        Raises:
            Refusal: It has no such one.
        """
        if label in self.classes:
            return label
        raise Refusal(
            "unknown_label",
            "`label` must be one of the model's classes",
            f"{label[:60]!r} is none",
            "GET /v1/model lists them, as `vocabulary` of its output.",
        )

    def keep(self, content: bytes, label: str, predicted: str, reason: str = "") -> Kept:
        """Keeps one; when this returns, picture and row are on the disk.

        Args:
            content: Of the picture's file, which has been read to its end by the model.
            label: What the visitor says.
            predicted: What the model said; also the name of the folder.
            reason: For whoever looks through the corrections.

        Raises:
            Refusal: The folder or the disk is full, or it is no picture.
        """
        self.check_label(label)
        digest = hashlib.sha256(content).hexdigest()
        name = digest + _ending(content)
        try:
            with locked(self._incoming / "lock"):
                new = self._keep(content, f"file:{digest}", name, label, predicted, reason)
        except (OSError, StorageError) as error:
            if isinstance(error, Refusal):
                raise
            raise _cannot_store() from error
        return Kept(digest, predicted, label, new)

    def _keep(self, content: bytes, item: str, name: str, label: str, predicted: str, reason: str) -> bool:
        there = [given for given in self.classes if (self.folder / given / name).is_file()]
        given = there[0] if there else predicted
        before = self.journal.state().get(item)
        if before is not None and before.decided is not None:
            said = before.label if before.relabelled else given
            if before.decided.author != VISITOR or (there and said == label):
                return False
        self._check_room(ROW_BYTES + (0 if there else len(content)))
        if not there:
            _write(self._incoming / name, content)
        about = ItemRef(item, f"{given}/{name}", given, len(content))
        if label == given:
            self.journal.add("keep", about, reason=reason)
        else:  # nothing may have been collected of that class so far
            self.journal.add("relabel", about, label, reason=reason, new_class=True)
        if not there:
            self._place(name, given)
        return True

    def _place(self, name: str, given: str) -> None:
        (self.folder / given).mkdir(exist_ok=True)
        os.replace(self._incoming / name, self.folder / given / name)
        for folder in (self.folder / given, self.folder):
            flush_names(folder)

    def _check_room(self, more: int) -> None:
        most = self.limits.max_collected
        if _bytes_in(self.folder) + more > most:
            raise Refusal(
                "full",
                f"at most {most:,} bytes of corrections are kept",
                "with this one there would be more",
                "Whoever runs this server must look through them first.",
            )

    def _end_what_was_begun(self) -> None:
        """Puts pictures whose row was written into their place, and drops those whose row was not."""
        waiting = {path.name: path for path in self._incoming.iterdir() if path.name != "lock"}
        if not waiting:
            return
        for edit in self.journal.edits:
            given, _, name = edit.path.partition("/")
            whole = name in waiting and edit.item == f"file:{Path(name).stem}" and given in self.classes
            if whole and not (self.folder / given / name).exists():
                self._place(name, given)
                del waiting[name]
        for path in waiting.values():
            path.unlink()


def _ending(content: bytes) -> str:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            return ENDINGS[str(picture.format)]
    except Exception:  # Pillow's readers raise all kinds on damaged bytes
        raise Refusal(
            "unreadable",
            "the file must be a picture that can be read",
            "it is not an image (no known format), or damaged",
            "Send a JPEG, PNG or WebP file that a viewer can open.",
        ) from None


def _write(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")  # of one that was killed: written over
    with open(part, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _bytes_in(folder: Path) -> int:
    return sum((Path(place) / name).lstat().st_size for place, _, names in os.walk(folder) for name in names)


def _cannot_store() -> WigglyError:
    return Refusal(
        "full",
        "a correction must be written to the server's disk",
        "it could not be",
        "Whoever runs this server must make room; nothing was kept.",
    )
