"""A bundle made by hand, for the tests that are about the file and not about the model."""

from __future__ import annotations

import dataclasses
import hashlib
import stat
import zipfile
from pathlib import Path
from typing import Any

import torch

from wiggly.bundle.archive import describe_file, write_archive
from wiggly.bundle.manifest import Manifest, write_manifest
from wiggly.bundle.parts import CategoryOutput, Example, ImageInput, Step
from wiggly.data.loaders import DataLoaders
from wiggly.train.learner import Learner
from wiggly.vision.augment import Resize
from wiggly.vision.learner import vision_learner
from wiggly.vision.loaders import ImageDataLoaders

FILES = {
    "weights.safetensors": b"\x02\x00\x00\x00\x00\x00\x00\x00{}",
    "examples/1.png": b"not really a picture",
}


def manifest(files: dict[str, bytes] = FILES, **changes: object) -> Manifest:
    """A complete manifest over `files`, with some fields changed."""
    made = Manifest(
        format="wiggly-bundle",
        version=1,
        wiggly="0.1.0",
        created="2024-05-06T07:08:09Z",
        task="classification",
        title="Ants or bees",
        inputs=(
            ImageInput(
                kind="image", channels=3, size=(64, 48), preprocessing=(Step("Resize", {"size": 64}),)
            ),
        ),
        outputs=(CategoryOutput(kind="category", vocabulary=("ant", "bee", True), activation="softmax"),),
        model={"arch": "resnet18"},
        files={name: describe_file(content) for name, content in files.items()},
        examples=(Example(file="examples/1.png", label="bee", actual=None, probabilities=(0.25, 0.5, 0.25)),),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def write(path: Path, **changes: object) -> Path:
    """A whole bundle at `path`."""
    write_archive(path, manifest(**changes), FILES)
    return path


def rewrite(
    path: Path, entries: dict[str, bytes], modes: dict[str, int] | None = None, deflate: bool = False
) -> Path:
    """A zip at `path` with exactly these entries, as a forger would write it; `modes` are Unix file modes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = archive.compression
            entry.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
    return path


def entries_of(path: Path) -> dict[str, bytes]:
    """Every entry of a zip by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forged(made: Manifest, files: dict[str, bytes]) -> dict[str, bytes]:
    """The entries of a bundle whose hashes are all right: what a clever forger can make."""
    text = write_manifest(made).encode()
    proof = f"{hashlib.sha256(text).hexdigest()}  model.json\n".encode()
    return {"model.json": text, "model.json.sha256": proof, **files}


def learner(dls: DataLoaders, arch: str = "test_resnet", **options: Any) -> Learner:
    """An untrained learner over these loaders; always the same weights."""
    torch.manual_seed(0)
    return vision_learner(dls, arch, pretrained=False, **options)


def train_digits(folder: Path, epochs: int = 4) -> Learner:
    """A learner that tells the digits of `folder` apart better than chance; seconds on one core."""
    dls = ImageDataLoaders.from_folder(
        folder, valid_pct=0.2, seed=1, item_tfms=Resize(32), bs=32, num_workers=0
    )
    learn = learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, 1e-2)
    return learn
