"""A model as its page sees it, whatever runs it.

In: nothing. Out: `PageModel`, which predictors of PyTorch and of ONNX Runtime are. Imports no torch. Read
next: `page.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from wiggly.bundle.manifest import Manifest
from wiggly.records import Prediction

__all__ = ["PageModel"]


class PageModel(Protocol):
    """A predictor, as far as a page is concerned."""

    @property
    def manifest(self) -> Manifest:
        """The content of `model.json`."""
        ...

    @property
    def vocab(self) -> list[Any]:
        """The classes; empty where there are none, or several targets."""
        ...

    @property
    def examples(self) -> Sequence[Any]:
        """The worked examples."""
        ...

    @property
    def predict(self) -> Callable[[Any], Prediction]:
        """From one item to what the model says of it."""
        ...

    @property
    def file(self) -> Callable[[str], bytes]:
        """From the name of one of the bundle's files to its content."""
        ...
