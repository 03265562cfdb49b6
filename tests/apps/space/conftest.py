"""Bundles made by hand, and a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each kind; read only."""
    pytest.importorskip("onnx", reason="needs onnx: pip install 'wiggly[export]'")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'wiggly[export]'")
    from tests.apps.web.bundles import write_all

    return write_all(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A hub that the real client takes for Hugging Face's."""
    constants = pytest.importorskip("huggingface_hub.constants")
    from tests.apps.space.hub import TOKEN, Hub

    from wiggly.apps.space import live, waiting

    made = Hub(tmp_path / "hub")
    made.folder.mkdir()
    monkeypatch.setattr(constants, "ENDPOINT", made.address)
    files = made.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its storage is a service of its own
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for module in (live, waiting):
        monkeypatch.setattr(module, "PAUSE", 0.2)
    yield made
    made.stop()
