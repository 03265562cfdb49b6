"""The data and tools that tests share. What lies outside the checkout is skipped, with the reason."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def shared_dir() -> Path | None:
    """Return the folder of real data: `WIGGLY_SHARED`, else `shared` beside the checkout, or None."""
    named = os.environ.get("WIGGLY_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    return folder if (folder / "data").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets (`data/`) and pretrained weights (`weights/`)."""
    folder = shared_dir()
    if folder is None:
        pytest.skip("needs the shared data: set WIGGLY_SHARED, or put a folder `shared` beside the checkout")
    return folder


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 300 real digit scans, `<digit>/<number>.png`, 32x32 grey: 30 of each digit, read only."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("data") / "digits"
    digits = load_digits()
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True)
        for number in np.flatnonzero(digits.target == digit)[:30]:
            grey = np.rint(digits.images[number] * (255 / 16)).astype(np.uint8)
            image = Image.fromarray(grey).resize((32, 32), Image.Resampling.BICUBIC)
            image.save(folder / str(digit) / f"{number:04}.png")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium (playwright's `Browser`): the one on the PATH, else playwright's own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
        path = found or play.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("needs a Chromium: apt-get install chromium, or playwright install chromium")
        chromium = play.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Close what a test drew, so that matplotlib does not warn about many open figures."""
    yield
    import sys

    if "matplotlib.pyplot" in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sys.modules["matplotlib.pyplot"].close("all")
