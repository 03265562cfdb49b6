"""`TableBlock`: the input side of a sample that is a row of a table; it holds the encoder.

In: a fitted encoder. Out: its JSON. Read next: `encoder.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wiggly.data.blocks import Block
from wiggly.tabular.encoder import TableEncoder

__all__ = ["TableBlock"]


class TableBlock(Block):
    """A row of a table. Its rows are encoded all at once, by `encoder`, and not one by one.

    Args:
        encoder: Fitted, or its `config()`.
    """

    def __init__(self, encoder: TableEncoder | Mapping[str, Any]) -> None:
        made = isinstance(encoder, TableEncoder)
        self.encoder = encoder if made else TableEncoder.from_config(encoder)

    def arguments(self) -> dict[str, Any]:
        return {"encoder": self.encoder.config()}

    def describe(self) -> str:
        n, m = len(self.encoder.categories), len(self.encoder.numbers)
        return f"TableBlock, {n} categories and {m} numbers"
