"""The image block: what becomes of a path, and back to a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.support import encoded, noise

from wiggly.data.blocks import Block
from wiggly.errors import ArgumentError, DataError
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.image import PILImage, PILImageBW


def test_a_path_as_a_tensor_and_back(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(noise(), "PNG"))
    block = ImageBlock()
    encoded_image = block.encode(block.load(path))
    assert encoded_image.dtype == torch.float32 and encoded_image.shape == (3, 60, 80)
    np.testing.assert_allclose(encoded_image.permute(1, 2, 0).numpy(), noise() / 255, atol=1e-7)
    assert np.array_equal(np.asarray(block.decode(encoded_image)), noise())
    assert np.array_equal(np.asarray(block.present(block.load(path))), noise())


def test_grey() -> None:
    block = ImageBlock(PILImageBW)
    assert block.channels == 1 and "grey" in block.describe()
    row = block.encode(block.load(noise()))
    assert row.shape == (1, 60, 80)
    assert block.decode(row).mode == "L"


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (5, 6)])
@pytest.mark.parametrize("cls", [PILImage, PILImageBW])
def test_rows_of_a_batch_are_channels_last(size: tuple[int, int], cls: Any) -> None:
    block = ImageBlock(cls)
    values = [block.load(noise(*size, seed=s)) for s in range(3)]
    batch = block.allocate(block.encode(values[0]), 3)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    for value, row in zip(values, batch, strict=True):
        block.encode_into(value, row)
    for value, row in zip(values, batch, strict=True):
        assert torch.equal(row, block.encode(value))


def test_another_size_is_refused() -> None:
    block = ImageBlock()
    with pytest.raises(DataError, match=r"20×30 came after 60×80.*\n.*Resize\(224\)"):
        block.encode_into(block.load(noise(20, 30)), torch.empty(3, 60, 80))


def test_what_it_accepts_without_a_getter() -> None:
    block = ImageBlock()
    for raw in ("a.jpg", Path("a.jpg"), b"\xff", noise(), torch.zeros(3, 2, 2), Image.new("L", (2, 2))):
        assert block.accepts(raw)
    assert not block.accepts({"file": "a.jpg"}) and not block.accepts(3)


@pytest.mark.parametrize("cls", [PILImage, PILImageBW])
def test_config_makes_the_same_block(cls: Any) -> None:
    again = Block.from_config(ImageBlock(cls).config())
    assert isinstance(again, ImageBlock) and again.cls is cls
    with pytest.raises(ArgumentError, match="PILImage"):
        ImageBlock("PILHologram")
