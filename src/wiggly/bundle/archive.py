"""The file a bundle is: one zip, read without trusting it and written so that it is whole or not there.

In: a path. Out: the checked manifest and the bytes of every file, in memory; nothing is extracted to disk and
nothing is unpickled. `write_archive` does the way back. Read next: `predictor.py`, which runs what was read.

A bundle holds `model.json`, `model.json.sha256` (so that an edited manifest is noticed too; `sha256sum -c`
reads it) and exactly the files that model.json lists with their hashes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wiggly.bundle.manifest import Manifest, read_manifest, write_manifest
from wiggly.bundle.parts import FileEntry
from wiggly.errors import BundleError, StorageError

__all__ = [
    "MANIFEST",
    "MANIFEST_HASH",
    "Archive",
    "describe_file",
    "is_bundle",
    "read_archive",
    "write_archive",
]

MANIFEST = "model.json"
MANIFEST_HASH = "model.json.sha256"

#: A zip local file header, then the name of the first entry: like EPUB's, our first entry tells the kind of
#: file.
ZIP_START = b"PK\x03\x04"
NAME_AT = 30

#: Limits on what a stranger's file may make us read. Weights hardly compress, so a ratio of 20 is no honest
#: file's.
LARGEST_MANIFEST = 64 * 2**20
LARGEST_TOTAL = 64 * 2**30
LARGEST_RATIO = 20
MOST_FILES = 1_000

GET_COPY = "Get a complete, unchanged copy of the bundle, or export the model again."


@dataclass(frozen=True)
class Archive:
    """A bundle in memory, every hash checked.

    Attributes:
        manifest: The content of model.json.
        files: Content of every other file, by name.
        sha256: Hash of model.json as it stands in the file; it names the model, for all hashes are in it.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    sha256: str = ""


def describe_file(content: bytes) -> FileEntry:
    """Hash and length, as model.json lists them.

    Example:
        >>> describe_file(b"abc").sha256[:8]
        'ba7816bf'
    """
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def is_bundle(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a file that `write_archive` began, by its first bytes.

    Example:
        >>> is_bundle("no such file")
        False
    """
    try:
        with Path(path).open("rb") as handle:
            start = handle.read(NAME_AT + len(MANIFEST))
    except OSError:
        return False
    return start.startswith(ZIP_START) and start[NAME_AT:] == MANIFEST.encode()


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """Read a bundle into memory and check all of it.

    Args:
        path: The file, whatever its suffix.

    Raises:
        StorageError: It cannot be read.
        BundleError: It is not a bundle, cut short, changed, of a newer version, or unsafe.
    """
    place = Path(path)
    with _open(place) as handle:
        try:
            _check_kind(handle, place)
            return _read_zip(handle, place)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            UnicodeDecodeError,
            OSError,
        ) as error:
            # OSError: a damaged table of contents makes zipfile seek to places before the file's start
            damage = f"it is cut short or damaged ({error})"
            raise BundleError(f"'{place}' must be complete", damage, GET_COPY) from error


def write_archive(path: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write a bundle to an open place: the caller writes aside and renames.

    Args:
        path: The file to write.
        manifest: Its model.json, `files` of it listing exactly `files`.
        files: Content by name.
    """
    text = write_manifest(manifest).encode()
    proof = f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in [(MANIFEST, text), (MANIFEST_HASH, proof), *files.items()]:
            entry = zipfile.ZipInfo(name)  # its date is always 1980: the same model gives the same bytes
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(
                entry, content
            )  # stored, not deflated: weights do not compress, and readers may map them


# --- checks, in the order they run --------------------------------------------------------------------------
def _open(place: Path) -> BinaryIO:
    try:
        return place.open("rb")
    except OSError as error:
        raise StorageError(
            "a bundle must be a file that can be read",
            f"'{place}' cannot: {error.strerror}",
            "Pass the path of a file that `learn.export` wrote.",
        ) from error


def _check_kind(handle: BinaryIO, place: Path) -> None:
    start = handle.read(64)
    handle.seek(0)
    if start.startswith(ZIP_START):
        return
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        raise _pickled(place)
    if not start:
        raise BundleError(f"'{place}' must be a bundle", "the file is empty", GET_COPY)
    raise BundleError(
        f"'{place}' must be a bundle",
        "it is a file of another kind",
        "Pass the path of a file that `learn.export` wrote.",
    )


def _pickled(place: Path) -> BundleError:
    return BundleError(
        "a bundle must be data that runs no code",
        f"'{place}' is a pickle, as fastai and `torch.save` write: loading it runs whatever code is in it",
        "Load it with the library that made it, where it was made, and save the weights of its body as "
        "safetensors, which `vision_learner(..., weights=...)` takes. Or train the model again: then "
        "`learn.export(...)` writes a bundle.",
    )


def _read_zip(handle: BinaryIO, place: Path) -> Archive:
    with zipfile.ZipFile(handle) as archive:
        entries = archive.infolist()
        if any(entry.filename.endswith("data.pkl") for entry in entries):
            raise _pickled(place)
        _check_entries(entries, place, size=os.fstat(handle.fileno()).st_size)
        names = {entry.filename for entry in entries}
        if MANIFEST not in names:
            raise BundleError(
                f"'{place}' must be a bundle",
                f"it is a zip file without {MANIFEST}",
                "Pass the path of a file that `learn.export` wrote.",
            )
        text = archive.read(MANIFEST)
        manifest = read_manifest(text, str(place))
        _check_manifest_hash(text, archive.read(MANIFEST_HASH) if MANIFEST_HASH in names else b"", place)
        _check_names(names, manifest, place)
        return Archive(
            manifest,
            {name: _read_file(archive, name, entry, place) for name, entry in manifest.files.items()},
            hashlib.sha256(text).hexdigest(),
        )


def _check_entries(entries: list[zipfile.ZipInfo], place: Path, size: int) -> None:
    """Refuse names that leave the folder, links, doubles and sizes no bundle has; nothing is unpacked yet."""
    seen: set[str] = set()
    for entry in entries:
        complaint = _complaint(entry, seen)
        seen.add(entry.filename.casefold())
        if complaint:
            raise _unsafe(place, f"its entry {entry.orig_filename!r} {complaint}")
    total = sum(entry.file_size for entry in entries)
    manifest = max(
        (entry.file_size for entry in entries if entry.filename in (MANIFEST, MANIFEST_HASH)), default=0
    )
    if (
        total > min(LARGEST_TOTAL, LARGEST_RATIO * size)
        or manifest > LARGEST_MANIFEST
        or len(entries) > MOST_FILES
    ):
        raise _unsafe(place, f"its {len(entries)} entries would unpack {size:,} bytes to {total:,}")


def _complaint(entry: zipfile.ZipInfo, seen: set[str]) -> str:
    name = entry.orig_filename  # `filename` has been tidied up by zipfile: judge what the file really says
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.startswith("/") or "\\" in name or ":" in name or "\0" in name or name != entry.filename:
        return "is not a plain relative path"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "points outside the bundle or is a folder"
    if kind not in (0, stat.S_IFREG):
        return "is a link or a special file"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in an unusual way"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    return "is there twice" if name.casefold() in seen else ""


def _unsafe(place: Path, received: str) -> BundleError:
    return BundleError(
        f"'{place}' must hold plain files only, each once and of sane size", received, GET_COPY
    )


def _check_manifest_hash(text: bytes, proof: bytes, place: Path) -> None:
    if proof.split(maxsplit=1)[:1] != [hashlib.sha256(text).hexdigest().encode()]:
        raise _changed(place, MANIFEST)


def _check_names(names: set[str], manifest: Manifest, place: Path) -> None:
    listed = {MANIFEST, MANIFEST_HASH, *manifest.files}
    if missing := sorted(listed - names):
        raise BundleError(
            f"'{place}' must hold every file its model.json lists", f"{missing[0]!r} is missing", GET_COPY
        )
    if extra := sorted(names - listed):
        raise BundleError(
            f"'{place}' must hold no file that its model.json does not list",
            f"{extra[0]!r} was added",
            GET_COPY,
        )


def _read_file(archive: zipfile.ZipFile, name: str, entry: FileEntry, place: Path) -> bytes:
    if archive.getinfo(name).file_size != entry.bytes:
        raise _changed(place, name)
    content = archive.read(name)
    if describe_file(content) != entry:
        raise _changed(place, name)
    return content


def _changed(place: Path, name: str) -> BundleError:
    return BundleError(
        f"every file in '{place}' must be as it was written",
        f"{name!r} was changed afterwards: its SHA-256 is not the recorded one",
        GET_COPY,
    )
