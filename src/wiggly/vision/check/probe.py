"""One file looked at once: what it is, whether it can be read, and a sketch to find copies of it by.

In: a path, bytes, a picture or an array. Out: `Probe`, a few kilobytes; the pixels are not kept. Nothing here
raises for a damaged file: the reason is part of the answer. Read next: `similar.py`, which compares sketches.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import simplejpeg
from PIL import Image

from wiggly.errors import ArgumentError, ItemError
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.check.similar import Sketch, grey_of, make_sketch
from wiggly.vision.decode import ORIENTATION_TAG, EncodedImage, Pixels, open_image

__all__ = ["Probe", "probe", "read_bytes"]

# Pixels of the shorter side that a sketch needs: a JPEG is decoded at the smallest scale above.
SKETCH_PIXELS = 64
LARGEST_FILE = 1 << 30  # bytes: more is no photo, and would fill the memory
LONGEST_REASON = 160
JPEG_MODES = {"Gray": "L", "YCbCr": "RGB", "YCCK": "CMYK"}

# First bytes of what is often found under the name of a photo: https://en.wikipedia.org/wiki/List_of_file_signatures
SIGNATURES = (
    (b"PK\x03\x04", "a zip archive"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"8BPS", "a Photoshop file"),
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was never fetched"),
    (b"\x1aE\xdf\xa3", "a video"),
)
# ISO base media file format: bytes 4 to 7 are "ftyp", then the brand.
HEIC_BRANDS = (b"heic", b"heix", b"mif1", b"hevc", b"msf1")
MARKUP = (b"<!doctype html", b"<html", b"<?xml", b"<svg", b"<!--")


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known about one picture.

    Attributes:
        digest: Hash of the content; equal for byte-equal files.
        reason: Why it cannot be read; "" when it can.
        damage: What the decoder complained about, though it can be read.
        format: Of the content, as Pillow names it ("JPEG"); "" for what is no file.
        mode: "L", "RGB", "CMYK", ...; as stored.
        height: Pixels, upright; 0 when unknown.
        width: Pixels, upright.
        orientation: EXIF orientation, 1 to 8.
        sketch: For finding copies; None for unreadable and for empty (one-coloured) pictures.
    """

    digest: bytes = b""
    reason: str = ""
    damage: str = ""
    format: str = ""
    mode: str = ""
    height: int = 0
    width: int = 0
    orientation: int = 1
    sketch: Sketch | None = field(default=None, repr=False)


def probe(raw: Any, name: str = "", block: ImageBlock | None = None) -> Probe:
    """Looks at one picture.

    Args:
        raw: Path, bytes, PIL image, array or tensor.
        name: How messages call it.
        block: What reads pictures that are no photos (bands, depth); None for photos.

    Returns:
        What was found; `reason` says why there are no pixels.

    Example:
        >>> probe(b"no picture").reason
        'it is not an image (no known format)'
    """
    digest = b""
    try:
        if isinstance(raw, (str, os.PathLike)):
            raw = read_bytes(raw)
        if isinstance(raw, (bytes, bytearray, memoryview)):
            data = bytes(raw)
            digest = hashlib.blake2b(data, digest_size=16).digest()
            if block is None:
                return _probe_bytes(data, digest, name)
            raw = data
        pixels = (open_image(raw, 3, name) if block is None else block.load(raw).source).pixels()
        digest = digest or hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        mode = str(getattr(raw, "mode", ""))
        return Probe(digest, mode=mode, height=pixels.shape[0], width=pixels.shape[1], sketch=_sketch(pixels))
    except ItemError as error:
        return Probe(digest, reason=_short(error.reason))
    except ArgumentError as error:
        return Probe(digest, reason=_short(f"{error.rule}; {error.received}"))
    except (OSError, ValueError, MemoryError) as error:
        return Probe(digest, reason=_short(f"{type(error).__name__}: {error}"))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a regular file; a pipe or a device would block for ever.

    Raises:
        ItemError: It is missing, empty, may not be read, or is no file.
    """
    name = os.fspath(path)
    try:
        found = os.stat(name)
        if not stat.S_ISREG(found.st_mode):
            raise ItemError(
                name, "it is a folder" if stat.S_ISDIR(found.st_mode) else "it is no regular file"
            )
        if found.st_size > LARGEST_FILE:
            raise ItemError(name, f"it has {found.st_size / 2**30:.1f} GB")
        data = Path(name).read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise ItemError(name, "there is no such file") from error
        raise ItemError(name, error.strerror or str(error)) from error
    if not data:
        raise ItemError(name, "the file is empty (0 bytes)")
    return data


def _probe_bytes(data: bytes, digest: bytes, name: str) -> Probe:
    known = _header(data, digest)
    try:
        image = open_image(data, 3, name)
        pixels, damage = _small_pixels(image)
    except ItemError as error:
        reason = _what_it_is(data) if "no known format" in error.reason else error.reason
        return replace(known, reason=_short(_plain(reason)))
    return replace(
        known,
        damage=_short(damage),
        height=image.height,
        width=image.width,
        orientation=known.orientation if image.data is None else image.orientation,
        sketch=_sketch(pixels),
    )


def _header(data: bytes, digest: bytes) -> Probe:
    """Format, colour mode and, for what is not JPEG, the EXIF orientation."""
    if data[:2] == b"\xff\xd8":
        try:
            colours = str(simplejpeg.decode_jpeg_header(data, strict=False)[2])
        except (ValueError, KeyError):
            colours = ""
        return Probe(digest, format="JPEG", mode=JPEG_MODES.get(colours, colours))
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode = "RGBA" if image.mode == "P" and "transparency" in image.info else image.mode
            value = image.getexif().get(ORIENTATION_TAG, 1)
            return Probe(
                digest, "", "", image.format or "", mode, orientation=value if value in range(1, 9) else 1
            )
    except Exception:  # Pillow raises all kinds on damaged bytes; `open_image` then says what is wrong
        return Probe(digest)


def _small_pixels(image: EncodedImage) -> tuple[Pixels, str]:
    """Upright pixels of a small copy, and what the decoder complained about.

    Raises:
        ItemError: There are no pixels: training would skip the file.
    """
    if image.data is None:
        return image.pixels(), ""
    try:
        stored = simplejpeg.decode_jpeg(
            image.data, fastdct=True, fastupsample=True, min_height=SKETCH_PIXELS, min_width=SKETCH_PIXELS
        )
    except (ValueError, KeyError, MemoryError) as error:
        return image.pixels(), str(error)
    return _upright(stored, image.orientation), ""


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    # EXIF 2.32, table 4: from 5 on rows and columns change places.
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels


def _sketch(pixels: Pixels) -> Sketch | None:
    return make_sketch(grey_of(pixels))


def _what_it_is(data: bytes) -> str:
    """What a file without pixels is, by its first bytes."""
    start = data[:1024].lstrip().lower()
    if data[4:8] == b"ftyp":
        kind = "a HEIC photo (of an iPhone)" if data[8:12] in HEIC_BRANDS else "a video"
        return f"it is {kind}, which cannot be read here"
    for signature, what in SIGNATURES:
        if data.startswith(signature):
            return f"it is {what}"
    if start.startswith(MARKUP):
        return "it is an SVG drawing" if b"<svg" in start else "it is a web page, not an image"
    return "it is not an image (no known format)"


def _plain(reason: str) -> str:
    """Pillow's words for a cut file in ours."""
    cut = ("image file is truncated", "Truncated File Read", "Premature end")
    return "cut off: the end of the file is missing" if any(words in reason for words in cut) else reason


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"
