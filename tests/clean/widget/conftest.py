"""A small learner of real digit scans, copied so that files can be moved."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wiggly import ImageDataLoaders, Resize, vision_learner

DIGITS = ("3", "5", "7")


@pytest.fixture
def photos(digits_folder: Path, tmp_path: Path) -> Path:
    """36 scans in a folder for each of three digits."""
    for digit in DIGITS:
        (tmp_path / "photos" / digit).mkdir(parents=True)
        for file in sorted((digits_folder / digit).iterdir())[:12]:
            shutil.copy(file, tmp_path / "photos" / digit / file.name)
    return tmp_path / "photos"


@pytest.fixture
def learner() -> Callable[..., Any]:
    """An untrained network: `learner(dls)`, or of a folder."""

    def make(source: Any, **options: Any) -> Any:
        if isinstance(source, Path):
            source = ImageDataLoaders.from_folder(
                source, valid_pct=0.25, seed=3, item_tfms=Resize(32), bs=16, **options
            )
        return vision_learner(source, "resnet18", pretrained=False)

    return make
