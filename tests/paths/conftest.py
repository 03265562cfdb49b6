"""Each model is trained once, and served once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.apps.web.conftest import built, host, tab

__all__ = ["built", "host", "tab"]


@pytest.fixture(scope="session", params=["pets", "people", "streets"])
def trained(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A model that was really trained."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'wiggly[export]'")
    from tests.paths.models import train

    begin = time.monotonic()
    made = train(request.param, shared, tmp_path_factory.mktemp("paths"))
    print(f"{request.param}: trained and exported in {time.monotonic() - begin:.0f} s")
    return made


@pytest.fixture(scope="session")
def address(trained: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`wiggly serve` of it, with the Gradio page at `/`."""
    from tests.apps.server.test_start import running
    from tests.paths.models import Trained

    assert isinstance(trained, Trained)
    with running(tmp_path_factory.mktemp("served"), trained.bundle) as server:
        yield server.address
