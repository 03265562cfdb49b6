"""The device path, run on the CPU: the same pixels as the CPU path, whatever sizes, borders and colours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.support import noise
from torch.nn import functional

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock
from wiggly.data.split import IndexSplitter
from wiggly.errors import ArgumentError, BadItemsError, DataError, ItemError
from wiggly.vision import device as module
from wiggly.vision.augment import aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.colour import hue, lighting, saturation
from wiggly.vision.decode import EncodedImage, open_image
from wiggly.vision.device import decode_jpegs, render, takes
from wiggly.vision.erase import Hole
from wiggly.vision.geometry import BORDERS, Geometry, rotation, scaling, translation
from wiggly.vision.image import LazyImage
from wiggly.vision.resize import Resize
from wiggly.vision.warp import Picture, warp

CPU = torch.device("cpu")
STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def photo(height: int, width: int, seed: int = 0) -> Any:
    """Soft blobs with a little grain, as photos have."""
    small = Image.fromarray(noise(max(2, height // 12), max(2, width // 12), seed))
    soft = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(float)
    return np.clip(soft + noise(height, width, seed + 1) / 25.5 - 5, 0, 255).astype(np.uint8)


def jpeg(pixels: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "jpeg", **{"quality": 90, **options})
    return out.getvalue()


def by_cpu(values: Sequence[LazyImage]) -> torch.Tensor:
    rows = [np.empty((*v.size, v.source.channels), np.float32) for v in values]
    for value, row in zip(values, rows, strict=True):
        value.write(row)
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2)


def differences(values: Sequence[LazyImage], std: float = 1.0) -> torch.Tensor:
    """Absolute differences to the CPU path in grey levels, `(n, c, h, w)`."""
    made, bad = render(values, CPU)
    assert not bad
    assert made.dtype == torch.float32
    assert made.is_contiguous(memory_format=torch.channels_last)
    return (made - by_cpu(values)).abs() * 255 * std


def lazy(pixels: Any) -> LazyImage:
    return LazyImage(open_image(pixels))


# ------------------------------------------------------------------------------------------------- resampling


def test_without_a_transform_pixels_are_equal_to_the_bit() -> None:
    assert differences([lazy(noise(40, 60, k)) for k in range(3)]).max() == 0


def test_crops_and_flips_at_whole_pixels_are_equal_to_the_bit() -> None:
    moved = [
        Geometry(translation(-7, -3), (30, 20)),
        Geometry(np.array([[-1.0, 0, 41], [0, 1, -2], [0, 0, 1]]), (30, 20)),
    ]
    assert differences([lazy(noise(50, 70, k)).moved(g) for k, g in enumerate(moved)]).max() == 0


@pytest.mark.parametrize("border", list(BORDERS))
def test_borders_are_opencvs_pixel_for_pixel(border: str) -> None:
    """Far outside on all sides, of sources down to one pixel, so that mirroring goes to and fro."""
    values = [lazy(noise(h, w, h)) for h, w in ((9, 13), (1, 5), (2, 2), (1, 1))]
    geometry = Geometry(translation(20.3, 17.6), (50, 60), border)
    made, _ = render([v.moved(geometry) for v in values], CPU)
    for value, row in zip(values, made, strict=True):
        matrix = np.array([[1, 0, 20.3], [0, 1, 17.6]])
        there = cv2.warpAffine(
            value.source.pixels(), matrix, (60, 50), flags=cv2.INTER_LINEAR, borderMode=BORDERS[border]
        )
        assert np.abs(row.permute(1, 2, 0).numpy() * 255 - there).max() <= 2


def test_reflection_is_not_grid_samples() -> None:
    """What the docstring says of torch: its reflection at pixel edges repeats the outermost pixel."""
    ramp = torch.arange(4.0).view(1, 1, 1, 4)
    grid = torch.tensor([[[[-1.25, 0.0], [-0.75, 0.0]]]])  # one pixel left of the first, and the first
    options = {"padding_mode": "reflection", "align_corners": False}
    assert functional.grid_sample(ramp, grid, **options).flatten().tolist() == [0.0, 0.0]
    pixels = (ramp[0] * 10).to(torch.uint8)
    assert warp([Picture(pixels, Geometry(translation(1, 0), (1, 2)))]).flatten().tolist() == [10, 0]


@pytest.mark.parametrize("shrink", [1.0, 1.3, 1.9, 2.5, 2.99, 3.0, 4.0, 6.1, 8.0])
def test_shrinks_agree_with_the_cpu_path(shrink: float) -> None:
    values = [lazy(jpeg(photo(300 + 17 * k, 400 - 31 * k, k))) for k in range(4)]
    geometry = Geometry(scaling(1 / shrink, 1 / shrink), (32, 32))
    found = differences([v.moved(geometry) for v in values])
    assert found.mean((1, 2, 3)).max() <= 1.5


@pytest.mark.parametrize("shrink", [1.0, 1.5, 2.2, 2.9, 3.4, 5.0, 8.0])
def test_full_size_decoding_agrees_with_pillows_filter(shrink: float) -> None:
    """nvJPEG decodes at full size, so the whole shrink is the filter's; its aim is Pillow's resize."""
    pixels, size = photo(320, 400), (round(320 / shrink), round(400 / shrink))
    matrix = scaling(size[1] / 400, size[0] / 320)
    picture = Picture(torch.from_numpy(pixels).permute(2, 0, 1), Geometry(matrix, size))
    aim = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    found = warp([picture])[0].permute(1, 2, 0).numpy().astype(float)
    assert np.abs(found - np.asarray(aim)).mean() <= 1.5


@settings(max_examples=25, deadline=None)
@given(
    # The CPU path blurs by OpenCV's nearest ready-made kernel; on pictures of a few pixels that shows.
    sizes=st.lists(st.tuples(st.integers(16, 90), st.integers(16, 90)), min_size=1, max_size=4),
    degrees=st.floats(-180, 180),
    zoom=st.floats(0.3, 3),
    border=st.sampled_from(list(BORDERS)),
)
def test_any_sizes_turned_and_zoomed_agree(
    sizes: list[tuple[int, int]], degrees: float, zoom: float, border: str
) -> None:
    values = []
    for k, (h, w) in enumerate(sizes):
        matrix = scaling(zoom, zoom) @ rotation(degrees, w / 2, h / 2)
        values.append(lazy(photo(h, w, k)).moved(Geometry(matrix, (24, 31), border)))
    assert differences(values).mean() <= 1.5


def test_a_horizon_inside_the_target_gives_numbers() -> None:
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [0.05, 0, 1]])
    made, _ = render([lazy(noise(40, 40)).moved(Geometry(np.linalg.inv(matrix), (40, 40)))], CPU)
    assert made.isfinite().all()


def test_augmented_photos_are_the_same_photos(shared: Path) -> None:
    files = sorted((shared / "data" / "pets" / "images").glob("*.jpg"))[:12]
    transforms = [Resize(300), *aug_transforms(size=128, max_rotate=25, min_zoom=0.8)]
    values = []
    for k, file in enumerate(files):
        sample: tuple[Any, ...] = (LazyImage(open_image(file)).normalised(*STATISTICS),)
        random = Random(k)
        for transform in transforms:
            sample = transform.apply(sample, random, True)
        values.append(sample[0])
    assert differences(values, std=0.226).mean((1, 2, 3)).max() <= 1.0


def test_sizes_must_be_equal() -> None:
    with pytest.raises(DataError, match="7×6 came after 5×6"):
        render([lazy(noise(5, 6)), lazy(noise(7, 6))], CPU)


# ----------------------------------------------------------------------------------------------------- colour


def test_curves_matrices_and_statistics_are_the_same() -> None:
    steps = [
        [lighting(0.4, 1.3)],
        [saturation(0.3)],
        [lighting(-0.5), hue(0.2), lighting(0.0, 0.7), saturation(1.8), lighting(0.2)],
        [],
    ]
    values = []
    for k, some in enumerate(steps):
        value = lazy(noise(20, 30, k)).normalised(*STATISTICS)
        for step in some:
            value = value.recoloured(step)
        values.append(value)
    found = differences(values, std=0.226)
    assert found.max() <= 2.5  # a level of rounding before a steep curve
    assert found.mean() <= 0.05


def test_grey_pictures_and_one_statistic() -> None:
    values = [
        LazyImage(open_image(noise(9, 9, k)[:, :, 0], channels=1)).recoloured(saturation(0.5)) for k in (0, 1)
    ]
    values = [v.recoloured(lighting(0.3)).normalised((0.5,), (0.25,)) for v in values]
    assert differences(values, 0.25).max() < 1e-3


def test_holes_are_the_same() -> None:
    value = lazy(noise(40, 50)).normalised(*STATISTICS)
    holes = [Hole.at(5, 5, 12, 9, fill, 3) for fill in ("noise", "mean", 0.25)]
    values = [value.erased([hole]) for hole in holes] + [value]
    values.append(value.erased(holes[:1]).moved(Geometry(rotation(20, 25, 20), (40, 50))))
    values = [*values[:4], values[4]]
    assert differences(values, 0.226).mean() < 0.01


def test_deep_pictures_and_other_colour_steps_take_the_cpus_way() -> None:
    deep = LazyImage(open_image(noise(20, 30).astype(np.float32) / 255)).moved(
        Geometry(scaling(0.5, 0.5), (10, 15))
    )
    shallow = lazy(noise(20, 30)).moved(Geometry(scaling(0.5, 0.5), (10, 15)))
    found = differences([shallow, deep, shallow])
    assert found[1].max() == 0 and found.mean() <= 1


# --------------------------------------------------------------------------------------------------- decoding


def plain_decoder(sources: Sequence[EncodedImage], device: torch.device) -> list[torch.Tensor]:
    """Stands for nvJPEG: full size, not upright, all or nothing."""
    decoded = []
    for source in sources:
        if source.name == "refused":
            raise RuntimeError("nvjpeg: unsupported")
        space = "RGB" if source.channels == 3 else "GRAY"
        pixels = simplejpeg.decode_jpeg(source.data, colorspace=space, strict=False)
        decoded.append(torch.from_numpy(pixels).permute(2, 0, 1))
    return decoded


@pytest.fixture
def nvjpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_decoder_of", lambda device: plain_decoder)


def test_on_a_cpu_nothing_is_left_to_nvjpeg() -> None:
    assert decode_jpegs({0: open_image(jpeg(noise()))}, CPU) == {}


@pytest.mark.usefixtures("nvjpeg")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_after_decoding(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = open_image(jpeg(photo(24, 40), exif=exif, subsampling=0))
    assert source.orientation == orientation
    [decoded] = decode_jpegs({0: source}, CPU).values()
    assert decoded.shape == (3, source.height, source.width)
    assert np.abs(decoded.permute(1, 2, 0).numpy().astype(int) - source.pixels()).max() <= 1
    value = LazyImage(source).moved(Geometry(scaling(0.5, 0.5), (12, 12)))
    assert differences([value]).mean() <= 1.5


@pytest.mark.usefixtures("nvjpeg")
def test_only_what_nvjpeg_refuses_goes_to_the_cpu() -> None:
    names = ["a", "refused", "b", "not a jpeg"]
    data = [jpeg(photo(30, 40, k)) for k in range(3)]
    sources = [open_image(d, name=n) for d, n in zip(data, names, strict=False)]
    sources.append(open_image(noise(30, 40), name="not a jpeg"))
    assert sorted(decode_jpegs(dict(enumerate(sources)), CPU)) == [0, 2]
    values = [LazyImage(s).moved(Geometry(scaling(0.8, 0.8), (24, 32))) for s in sources]
    assert differences(values).mean((1, 2, 3)).max() <= 1.5


@pytest.mark.usefixtures("nvjpeg")
@pytest.mark.parametrize(("shrink", "most"), [(1.0, 1.5), (1.6, 1.5), (2.9, 1.0), (4.0, 1.0), (7.0, 2.0)])
def test_full_size_decoding_agrees_with_the_reduced_one(shared: Path, shrink: float, most: float) -> None:
    """The CPU path lets the decoder shrink by 2, 4 or 8; that filter is not quite the mean."""
    files = sorted((shared / "data" / "pets" / "images").glob("*.jpg"))[:6]
    geometry = Geometry(scaling(1 / shrink, 1 / shrink), (40, 40))
    values = [LazyImage(open_image(f)).moved(geometry) for f in files]
    assert differences(values).mean() <= most
    # Pillow's filter is what both are after.
    for value in values:
        pixels = simplejpeg.decode_jpeg(value.source.data, strict=False)
        size = round(pixels.shape[1] / shrink), round(pixels.shape[0] / shrink)
        exact = Geometry(scaling(size[0] / pixels.shape[1], size[1] / pixels.shape[0]), size[::-1])
        aim = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
        made = warp([Picture(torch.from_numpy(pixels).permute(2, 0, 1), exact)])[0].permute(1, 2, 0)
        assert np.abs(made.numpy() - np.asarray(aim).astype(float)).mean() <= 1.5


def test_cut_files_and_odd_colour_codings_are_not_left_to_nvjpeg() -> None:
    whole = jpeg(photo(90, 120))
    assert takes(open_image(whole))
    assert takes(open_image(whole + b"\0" * 20))  # some cameras pad
    assert not takes(open_image(whole[: len(whole) * 2 // 3]))
    assert not takes(open_image(noise(30, 40)))
    stored_as_rgb = simplejpeg.encode_jpeg(photo(30, 40))
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
    assert takes(open_image(stored_as_rgb[:2] + adobe + b"\x01" + stored_as_rgb[2:]))
    assert not takes(open_image(stored_as_rgb[:2] + adobe + b"\x00" + stored_as_rgb[2:]))


def test_unreadable_rows_are_named_and_the_others_made() -> None:
    whole = jpeg(photo(90, 120))
    broken = whole[: len(whole) * 2 // 3]
    values = [LazyImage(open_image(d, name=n)) for d, n in ((whole, "a"), (broken, "b"), (whole, "c"))]
    made, bad = render(values, CPU)
    assert list(bad) == [1] and isinstance(bad[1], ItemError) and "'b'" in str(bad[1])
    assert (made[0] == made[2]).all() and made[0].std() > 0 and (made[1] == 0).all()


# ------------------------------------------------------------------------------------------------- the loader


def pets(tmp_path: Path, warp_on: str, **options: Any) -> Any:
    for k in range(12):
        folder = tmp_path / ("cat" if k % 2 else "dog")
        folder.mkdir(exist_ok=True)
        (folder / f"{k:02}.jpg").write_bytes(jpeg(photo(60 + k, 80 - k, k)))
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        get_y=lambda p: p.parent.name,
        splitter=IndexSplitter([0, 1, 2, 3]),
        item_tfms=Resize(40),
        batch_tfms=aug_transforms(size=32),
    )
    files = sorted(tmp_path.glob("*/*.jpg"))
    return block.dataloaders(
        files, bs=4, seed=1, device="cpu", warp_on=warp_on, **{"num_workers": 2, **options}
    )


def test_loaders_deliver_the_same_batches(tmp_path: Path) -> None:
    ours, theirs = pets(tmp_path, "cpu"), pets(tmp_path, "device")
    for side in ("train", "valid"):
        batches = zip(
            getattr(ours, side).batches(STATISTICS), getattr(theirs, side).batches(STATISTICS), strict=True
        )
        for a, b in batches:
            assert a.positions == b.positions
            assert torch.equal(a.targets[0], b.targets[0])
            assert (a.inputs[0] - b.inputs[0]).abs().mean() * 255 * 0.226 <= 0.5
            assert b.inputs[0].is_contiguous(memory_format=torch.channels_last)


def test_batch_callables_come_after(tmp_path: Path) -> None:
    dls = pets(tmp_path, "device")
    dls.valid.batch_tfms = [lambda x: x * 0 + 7]
    assert all((x == 7).all() for x, _ in dls.valid)


def test_the_setting_is_kept_by_loaders_made_from_this_one(tmp_path: Path) -> None:
    dls = pets(tmp_path, "device")
    assert dls.new(bs=2).train.warp_on == "device"
    assert dls.test_dl(dls.valid_ds.items).warp_on == "device"


def test_a_file_damaged_behind_its_header_is_skipped_and_counted(tmp_path: Path) -> None:
    dls = pets(tmp_path, "device", max_bad=0.5)
    damaged = Path(dls.train_ds.items[3])
    damaged.write_bytes(damaged.read_bytes()[:250])
    positions = [p for batch in dls.train.batches() for p in batch.positions]
    assert sorted(positions) == [0, 1, 2, 4, 5, 6, 7]
    assert list(dls.bad_items) == [str(damaged)]
    for batch in dls.train.batches():
        assert len(batch.inputs[0]) == len(batch.targets[0]) == len(batch.positions)


def test_too_many_damaged_files_stop_the_run(tmp_path: Path) -> None:
    dls = pets(tmp_path, "device", max_bad=0.01)
    for item in dls.train_ds.items[:3]:
        Path(item).write_bytes(Path(item).read_bytes()[:250])
    with pytest.raises(BadItemsError):
        list(dls.train)


def test_a_wrong_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="warp_on"):
        pets(tmp_path, "gpu")


# ------------------------------------------------------------------------------------------------- with a GPU


@cuda
def test_on_cuda_batches_agree_with_the_cpus(shared: Path) -> None:
    files = sorted((shared / "data" / "pets" / "images").glob("*.jpg"))[:16]
    geometry = Geometry(scaling(0.6, 0.6), (128, 128))
    values = [LazyImage(open_image(f)).moved(geometry).normalised(*STATISTICS) for f in files]
    made, bad = render(values, torch.device("cuda"))
    assert not bad and made.is_cuda
    assert (made.cpu() - by_cpu(values)).abs().mean() * 255 * 0.226 <= 1.5


@cuda
def test_on_cuda_nvjpeg_takes_usual_photos(shared: Path) -> None:
    files = sorted((shared / "data" / "pets" / "images").glob("*.jpg"))[:16]
    sources = {k: open_image(f) for k, f in enumerate(files)}
    decoded = decode_jpegs(sources, torch.device("cuda"))
    assert set(decoded) == {k for k, source in sources.items() if takes(source)}
    for k, pixels in decoded.items():
        there = sources[k].pixels().astype(float)
        assert np.abs(pixels.permute(1, 2, 0).cpu().numpy() - there).mean() <= 1.5
