"""Pictures of any number of channels: read as stored, moved and coloured like others, drawn by three."""

from __future__ import annotations

import io
import json
import sys
import time
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.support import encoded, noise
from tests.vision.test_damaged_bytes import damage
from torch import nn

from wiggly.data.block import DataBlock
from wiggly.data.blocks import Block, RegressionBlock
from wiggly.data.split import IndexSplitter
from wiggly.errors import ArgumentError, DependencyError, ItemError, LabelError
from wiggly.train.learner import Learner
from wiggly.vision.arrays import open_bands, open_indices, stored
from wiggly.vision.augment import Rotate, aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.image import PILImage
from wiggly.vision.learner import vision_learner
from wiggly.vision.lighting import Brightness
from wiggly.vision.resize import Resize


def bands(h: int = 30, w: int = 40, c: int = 12, dtype: Any = np.uint16, seed: int = 0) -> npt.NDArray[Any]:
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random((h, w, c)).astype(dtype)
    return random.integers(0, min(np.iinfo(dtype).max, 65535), (h, w, c), dtype=dtype, endpoint=True)


def tiff(array: npt.NDArray[Any], **options: Any) -> bytes:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile: pip install 'wiggly[tiff]'")
    file = io.BytesIO()
    tifffile.imwrite(file, array, photometric="minisblack", **options)
    return file.getvalue()


def npy(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def first(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(array.transpose(2, 0, 1))


FORMS: dict[str, Any] = {
    "array": lambda a: a,
    "channels first": first,
    "tensor": lambda a: torch.from_numpy(first(a)),
    "npy": npy,
    "npy, channels first": lambda a: npy(first(a)),
    "npy in Fortran's order": lambda a: npy(np.asfortranarray(a)),
    "interleaved tiff": lambda a: tiff(a, planarconfig="contig"),
    "tiff of planes": lambda a: tiff(first(a), planarconfig="separate"),
    "tiff of pages": lambda a: tiff(first(a)),
    "big-endian tiff": lambda a: tiff(a, planarconfig="contig", byteorder=">"),
    "bigtiff": lambda a: tiff(a, planarconfig="contig", bigtiff=True),
    "compressed tiff": lambda a: tiff(a, planarconfig="contig", compression="zlib"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_every_form_gives_the_same_levels(form: str, dtype: Any, white: float, tmp_path: Path) -> None:
    array = bands(dtype=dtype)
    source = FORMS[form](array)
    if isinstance(source, bytes):
        (tmp_path / "a").write_bytes(source)
        source = tmp_path / "a"
    row = ImageBlock(channels=12).encode(ImageBlock(channels=12).load(source))
    assert row.dtype == torch.float32 and row.shape == (12, 30, 40)
    np.testing.assert_allclose(row.permute(1, 2, 0).numpy(), array.astype(np.float64) / white, atol=1e-6)


def test_ordinary_files_keep_all_their_channels() -> None:
    four = noise(8, 9)
    four = np.dstack([four, 255 - four[:, :, 0]])
    assert np.array_equal(open_bands(encoded(four, "PNG"), 4).pixels(), four)
    assert np.array_equal(open_bands(Image.fromarray(four), 4).pixels(), four)
    assert np.array_equal(open_bands(encoded(four[:, :, 0], "PNG"), 1).pixels(), four[:, :, :1])
    deep = bands(8, 9, 1)[:, :, 0]
    np.testing.assert_allclose(open_bands(encoded(deep, "PNG"), 1).pixels()[:, :, 0], deep / 65535, atol=1e-7)
    three = bands(8, 9, 3)  # Pillow would cut these to 8 bits
    np.testing.assert_allclose(
        open_bands(tiff(three, planarconfig="contig"), 3).pixels(), three / 65535, atol=1e-7
    )
    assert open_bands(np.ones((4, 5), bool), 1).pixels().max() == 255


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint16, np.float64, np.uint8])
def test_a_range_of_values(dtype: Any) -> None:
    array = np.linspace(0, 200, 60).reshape(4, 5, 3).astype(dtype)
    found = open_bands(array, 3, value_range=(50, 150)).pixels()
    assert found.dtype == np.float32 and (found.min(), found.max()) == (0, 1)
    np.testing.assert_allclose(found, np.clip((array.astype(np.float64) - 50) / 100, 0, 1), atol=1e-6)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for array in (bands(dtype=np.int16), bands(dtype=np.float32) * 5, bands(dtype=np.float32) - 1):
        with pytest.raises(ArgumentError, match=r"`value_range` is needed.*\n.*value_range=\(0, 10_000\)"):
            open_bands(array, 12)
    cases: list[tuple[Any, str]] = [
        (bands(c=5), r"shape is \(30, 40, 5\), and 12 channels"),
        (np.full((4, 5, 12), np.nan), "not all numbers"),
        (npy(bands())[:400], "damaged"),
        (npy(np.zeros((2, 3, 4, 5))), "no picture"),
        (npy(np.array([{"a": 1}])), "damaged"),  # nothing is unpickled
        (b"II*\0" + b"\1" * 50, "damaged|not an image"),
        (b"", "not an image"),
        (tmp_path / "none.npy", "No such file"),
    ]
    for source, message in cases:
        with pytest.raises(ItemError, match=message):
            open_bands(source, 12)
    with pytest.raises(ArgumentError, match="got a int"):
        stored(3)


def test_without_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tiff(bands(), planarconfig="contig")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(DependencyError, match=r"tifffile(.|\n)*wiggly\[tiff\]"):
        open_bands(many, 12)
    plain = encoded(noise(8, 9), "TIFF")
    assert np.array_equal(open_bands(plain, 3).pixels(), noise(8, 9))


def test_arguments() -> None:
    block = ImageBlock(channels=12, value_range=(0, 10_000), shown=(3, 2, 1))
    again = Block.from_config(json.loads(json.dumps(block.config())))
    assert isinstance(again, ImageBlock) and again.config() == block.config() and again.channels == 12
    assert again.value_range == (0.0, 10_000.0) and "12 channels" in again.describe()
    assert ImageBlock().config()["args"] == {"cls": "PILImage"}
    wrong: list[dict[str, Any]] = [
        {"channels": 0},
        {"channels": 4, "value_range": (1, 1)},
        {"channels": 4, "value_range": (1,)},
        {"value_range": (0, 1)},
        {"channels": 4, "shown": (0, 4, 1)},
        {"channels": 4, "shown": (0, 1)},
        {"shown": (0,)},
    ]
    for arguments in wrong:
        with pytest.raises(ArgumentError):
            ImageBlock(**arguments)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
def test_each_channel_is_moved_and_coloured_as_if_alone(dtype: Any, channels: int) -> None:
    array, grey = bands(c=channels, dtype=dtype), ImageBlock(channels=1)
    block = ImageBlock(channels=channels)
    steps: list[Any] = [Resize(24), Rotate(30.0, 1.0), Brightness(0.5, 1.0)]

    def made(of: ImageBlock, source: Any) -> torch.Tensor:
        values: tuple[Any, ...] = (of.load(source),)
        random = Random(5)
        for step in steps:
            values = step.apply(values, random, True)
        return of.encode(values[0])

    together = made(block, array)
    assert together.shape == (channels, 24, 24)
    # OpenCV warps two channels with positions rounded to 1/32 pixel, one, three and four exactly.
    tolerance = 0.05 if channels == 2 else 1e-6
    for k in range(channels):
        torch.testing.assert_close(together[k], made(grey, array[:, :, k])[0], atol=tolerance, rtol=0)
    revived = block.encode(block.revive(together))
    torch.testing.assert_close(revived, together, atol=1e-6, rtol=0)


def loaders(c: int = 12, dtype: Any = np.uint16, shown: Any = None, **tfms: Any) -> Any:
    recipe = DataBlock(
        (ImageBlock(channels=c, shown=shown), RegressionBlock),
        getters=[lambda k: bands(30, 40, c, dtype, k), float],
        splitter=IndexSplitter([0, 1]),
        **tfms,
    )
    return recipe.dataloaders(range(8), bs=3, seed=0)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (12, "RGB")])
def test_what_a_person_sees(channels: int, mode: str) -> None:
    import matplotlib.pyplot as plt

    dls = loaders(channels, np.uint8)
    picture = dls.train_ds[0][0]
    assert isinstance(picture, PILImage) and picture.mode == mode and picture.size == (40, 30)
    want = bands(30, 40, channels, np.uint8, 2)[:, :, : 3 if mode == "RGB" else 1]
    assert np.array_equal(np.asarray(picture).reshape(want.shape), want)
    dls.show_batch()
    assert len(plt.gcf().axes[0].images) == 1
    if channels == 12:
        chosen = loaders(12, np.uint8, shown=(7, 2, 11)).train_ds[0][0]
        assert np.array_equal(np.asarray(chosen), bands(30, 40, 12, np.uint8, 2)[:, :, [7, 2, 11]])


def test_augmented_batches_and_callables() -> None:
    seen: list[Any] = []

    def mirrored(array: Any) -> Any:
        seen.append(array.shape)
        return array[:, ::-1]

    dls = loaders(
        12, item_tfms=[Resize(24), mirrored], batch_tfms=[*aug_transforms(), lambda x: x.clamp(0, 1)]
    )
    x, _ = dls.one_batch()
    assert x.shape == (3, 12, 24, 24) and x.is_contiguous(memory_format=torch.channels_last)
    assert set(seen) == {(24, 24, 12)} and x.min() >= 0 and x.max() <= 1


def test_a_net_of_twelve_channels(tmp_path: Path) -> None:
    dls = loaders(12, item_tfms=Resize(32))
    learn = vision_learner(dls, "test_resnet", pretrained=False, stats=([0.5] * 12, [0.25] * 12))
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    array = bands(30, 40, 12)
    assert len(learn.predict(array)) == 3
    np.save(tmp_path / "a.npy", array)
    assert learn.predict(tmp_path / "a.npy").probs == pytest.approx(learn.predict(array).probs)
    plain = Learner(dls, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 1)))
    plain.show_results()


DAMAGED: dict[str, Any] = {
    "npy": lambda: npy(bands(20, 30, 5, np.uint8)),
    "npy of floats": lambda: npy(bands(20, 30, 5, np.float32)),
    "tiff": lambda: tiff(bands(20, 30, 5), planarconfig="contig"),
    "compressed tiff": lambda: tiff(first(bands(20, 30, 5)), compression="zlib"),
    "png": lambda: encoded(noise(20, 30)[:, :, 0] % 5, "PNG"),
    "palette": lambda: encoded(Image.fromarray(noise(20, 30)[:, :, 0] % 5).convert("P"), "PNG"),
    "deep png": lambda: encoded(bands(20, 30, 1)[:, :, 0], "PNG"),
}


def attempt(read: Any) -> tuple[Any, str]:
    """What is read, and the message of the error if it is refused as it should be."""
    try:
        return read(), ""
    except (ItemError, LabelError, ArgumentError) as error:
        return None, str(error)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(form=st.sampled_from(sorted(DAMAGED)), injure=damage())
def test_damaged_bytes_are_refused_or_read(form: str, injure: Any) -> None:
    data = injure(DAMAGED[form]())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow and tifffile talk about damaged files
        start = time.monotonic()
        image, refusal = attempt(lambda: open_bands(data, 5, name="it"))
        found, refused = attempt(lambda: open_indices(data, "it"))
        assert time.monotonic() - start < 20
    assert "'it'" in refusal if image is None else image.pixels().shape == (image.height, image.width, 5)
    assert "'it'" in refused if found is None else found[0].ndim == 2 and found[0].dtype.kind in "iu"


def test_a_file_that_claims_to_be_huge() -> None:
    small = npy(np.zeros((2, 2, 2), np.uint8))
    claimed = small[: small.index(b"'shape'")] + b"'shape': (99999, 99999, 12), }"
    padded = claimed.ljust(127) + b"\n" + b"\0" * 8
    with pytest.raises(ItemError, match=r"it is cut: an array of \(99999, 99999, 12\)"):
        open_bands(padded, 12)
