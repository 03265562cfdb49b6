"""One learner, trained once for the tests of this room, and the bundle it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.bundle.support import train_digits


@pytest.fixture(scope="session")
def learn(digits_folder: Path) -> Any:
    """A small network that has learned the digits."""
    return train_digits(digits_folder)


@pytest.fixture(scope="session")
def exported(learn: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle; read only."""
    return learn.export(tmp_path_factory.mktemp("bundle") / "digits.wiggly")
