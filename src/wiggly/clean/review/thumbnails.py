"""Small pictures for the page, each made once, in threads, and kept in the user's cache folder.

In: a file and the id of its content. Out: JPEG bytes. Nothing is written beside the data. Read next:
`review.py`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import simplejpeg

from wiggly.data.cache.disk import default_folder
from wiggly.data.loader import default_workers
from wiggly.vision.decode import open_image

__all__ = ["SIZES", "Thumbnails", "full_picture"]

#: Longer sides in pixels that are made; a request is rounded up to one of them.
SIZES = (160, 320, 640)
QUALITY = 82
MOST_BYTES = 600_000_000  # on disk; the oldest go first
LONGEST_SHOWN = 4096  # pixels of a picture that is converted to be shown at full size

#: First bytes of what every browser shows by itself, and its media type.
SHOWN_AS_IS = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"GIF8", "image/gif"))


class Thumbnails:
    """Makes and keeps small pictures.

    Args:
        folder: Where they are kept; None takes the cache folder.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("grey.png").write_bytes(cv2.imencode(".png", np.full((40, 60, 3), 90, np.uint8))[1])
        >>> small = Thumbnails(Path("kept"))
        >>> small.get("grey.png", "file:ab12", 160)[:3] == b"\\xff\\xd8\\xff", small.made
        (True, 1)
        >>> _ = small.get("grey.png", "file:ab12", 160)
        >>> small.made
        1
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder().parent / "thumbnails" if folder is None else folder
        self.made = 0
        self._lock = Lock()
        self._under_way: dict[str, Future[bytes]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def get(self, file: str, item: str, size: int) -> bytes:
        """The small picture of a file as JPEG, from the disk if it was made before.

        Args:
            file: The picture.
            item: Id of its content.
            size: Longer side in pixels, at least.

        Raises:
            ItemError: The file cannot be read.
        """
        longer = next((one for one in SIZES if one >= size), SIZES[-1])
        name = f"{item.rpartition(':')[2]}-{longer}.jpg"
        place = self.folder / name[:2] / name
        with contextlib.suppress(OSError):
            return place.read_bytes()
        with self._lock:
            waiting = self._under_way.get(name)
            mine: Future[bytes] = Future() if waiting is None else waiting
            self._under_way[name] = mine
        if waiting is not None:
            return waiting.result()
        try:
            made = small_jpeg(file, longer)
            mine.set_result(made)
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                self._under_way.pop(name, None)
        self.made += 1
        _keep(place, made)
        return made

    def make_ahead(self, wanted: Iterable[tuple[str, str]], size: int = SIZES[1]) -> None:
        """Makes small pictures in the background, in this order, until `stop`.

        Args:
            wanted: File and id of its content.
            size: Longer side.
        """
        self._pool = ThreadPoolExecutor(default_workers(), thread_name_prefix="wiggly-thumbnail")
        for file, item in wanted:
            self._pool.submit(self._make_quietly, file, item, size)

    def _make_quietly(self, file: str, item: str, size: int) -> None:
        with contextlib.suppress(Exception):  # said when somebody looks at it
            self.get(file, item, size)

    def stop(self) -> None:
        """Ends what is made in the background, and lets the oldest go if there are too many."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
            _prune(self.folder)


def small_jpeg(file: str, longer: int) -> bytes:
    """A picture as JPEG with at most this many pixels on its longer side, never enlarged.

    Raises:
        ItemError: It cannot be read.
    """
    opened = open_image(file)
    shrink = min(1.0, longer / max(opened.height, opened.width))
    height, width = max(1, round(opened.height * shrink)), max(1, round(opened.width * shrink))
    pixels = opened.pixels(height, width)
    if pixels.dtype != np.uint8:
        pixels = (np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    if pixels.shape[:2] != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    pixels = np.ascontiguousarray(pixels.reshape(height, width, -1))
    return simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="RGB", colorsubsampling="420")


def full_picture(file: str) -> tuple[bytes, str]:
    """A picture as a browser shows it, and its media type: the file itself, or a JPEG made from it.

    Raises:
        ItemError: It cannot be read, or is no picture.
        OSError: It cannot be read.
    """
    with open(file, "rb") as opened:
        start = opened.read(16)
        for begins, kind in SHOWN_AS_IS:
            if start.startswith(begins):
                return start + opened.read(), kind
        if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
            return start + opened.read(), "image/webp"
    return small_jpeg(file, LONGEST_SHOWN), "image/jpeg"


def _keep(place: Path, data: bytes) -> None:
    """Writes a file whole or not at all; failing only costs time."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{secrets.token_hex(6)}")
        draft.write_bytes(data)
        os.replace(draft, place)


def _prune(folder: Path, most: int = MOST_BYTES) -> None:
    with contextlib.suppress(OSError):
        found = [(entry.stat(), entry) for entry in folder.glob("*/*.jpg")]
        total = sum(stat.st_size for stat, _ in found)
        for stat, entry in sorted(found, key=lambda pair: pair[0].st_mtime):
            if total <= most:
                return
            entry.unlink(missing_ok=True)
            total -= stat.st_size
