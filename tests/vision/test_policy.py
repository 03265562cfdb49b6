"""Augmentation policies: every operation beside Pillow's and torchvision's, ranges beside torchvision's."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from tests.data.support import gradient, noise
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import functional as tvf

from wiggly.errors import ArgumentError
from wiggly.vision import image as image_module
from wiggly.vision.colour import hue, lighting, saturation
from wiggly.vision.decode import open_image
from wiggly.vision.geometry import Geometry, resample
from wiggly.vision.image import LazyImage
from wiggly.vision.operations import (
    AutoContrast,
    Equalize,
    MeanContrast,
    Sharpness,
    brightened,
    posterized,
    solarized,
)
from wiggly.vision.policy import MATRICES, NAMES, SIGNED, STEPS, RandAugment, TrivialAugment


def photo(seed: int = 0) -> Any:
    """A smooth picture with noise and without black and white, so that every operation has work to do."""
    mixed = gradient(60, 80) * 0.6 + noise(60, 80, seed) * 0.2 + 20
    return mixed.astype(np.uint8)


def done(step: Any, pixels: Any) -> Any:
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    made = LazyImage(open_image(pixels, channels)).recoloured(step).picture()
    return np.asarray(made).astype(int)


COLOURS = {
    "brightness": (brightened(1.4), lambda i: ImageEnhance.Brightness(i).enhance(1.4), 1),
    "darkness": (brightened(0.3), lambda i: ImageEnhance.Brightness(i).enhance(0.3), 1),
    "contrast": (MeanContrast(1.8), lambda i: ImageEnhance.Contrast(i).enhance(1.8), 2),
    "less contrast": (MeanContrast(0.2), lambda i: ImageEnhance.Contrast(i).enhance(0.2), 2),
    "colour": (saturation(1.9), lambda i: ImageEnhance.Color(i).enhance(1.9), 1),
    "less colour": (saturation(0.3), lambda i: ImageEnhance.Color(i).enhance(0.3), 1),
    "sharpness": (Sharpness(1.9), lambda i: ImageEnhance.Sharpness(i).enhance(1.9), 1),
    "smoothness": (Sharpness(0.1), lambda i: ImageEnhance.Sharpness(i).enhance(0.1), 1),
    "posterize": (posterized(3), lambda i: ImageOps.posterize(i, 3), 0),
    "solarize": (solarized(100 / 255), lambda i: ImageOps.solarize(i, 100), 0),
    "autocontrast": (AutoContrast(), ImageOps.autocontrast, 1),
    "equalize": (Equalize(), ImageOps.equalize, 0),
}


@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize("seed", [0, 1])
def test_colours_like_pillow(name: str, seed: int) -> None:
    step, theirs, tolerance = COLOURS[name]
    for pixels in (photo(seed), photo(seed)[..., 0].copy()):
        want = np.asarray(theirs(Image.fromarray(pixels))).astype(int)
        found = done(step, pixels)
        assert np.abs(found - want).max() <= tolerance
        if not (pixels.ndim == 2 and "colour" in name):  # grey has no colour to change
            assert np.abs(want - pixels).max() > 10


@pytest.mark.parametrize(
    ("step", "theirs", "tolerance"),
    [
        (saturation(1.7), lambda t: tvf.adjust_saturation(t, 1.7), 1),
        (saturation(0.0), lambda t: tvf.adjust_saturation(t, 0.0), 1),
        (MeanContrast(0.5), lambda t: tvf.adjust_contrast(t, 0.5), 2),
        (Sharpness(1.5), lambda t: tvf.adjust_sharpness(t, 1.5), 1),
        (Equalize(), tvf.equalize, 1),
        (AutoContrast(), tvf.autocontrast, 1),
        (posterized(2), lambda t: tvf.posterize(t, 2), 0),
        (solarized(0.5), lambda t: tvf.solarize(t, 127.5), 0),
    ],
)
def test_colours_like_torchvision(step: Any, theirs: Any, tolerance: int) -> None:
    want = theirs(torch.from_numpy(photo()).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    assert np.abs(done(step, photo()) - want.astype(int)).max() <= tolerance


@pytest.mark.parametrize("step", [AutoContrast(), Equalize(), MeanContrast(0.5), Sharpness(2), saturation(2)])
@pytest.mark.parametrize("pixels", [np.full((5, 6, 3), 77, np.uint8), np.zeros((1, 1, 3), np.uint8)])
def test_flat_and_tiny_pictures(step: Any, pixels: Any) -> None:
    assert np.array_equal(done(step, pixels), pixels)


@pytest.mark.parametrize("name", ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_geometry_like_torchvision(name: str, sign: int) -> None:
    level = {"Rotate": 25.0, "TranslateX": 7, "TranslateY": 7}.get(name, 0.25) * sign
    geometry = Geometry(MATRICES[name](level, (60, 80)), (60, 80), "zeros")
    found = resample(gradient(), geometry).astype(int)
    theirs = v2.RandAugment(interpolation=InterpolationMode.BILINEAR)
    tensor = torch.from_numpy(gradient()).permute(2, 0, 1)
    want = theirs._apply_image_or_video_transform(
        tensor, name, level, interpolation=InterpolationMode.BILINEAR, fill={torch.Tensor: 0}
    )
    difference = np.abs(found - want.permute(1, 2, 0).numpy())
    inside = resample(np.full((60, 80, 1), 255, np.uint8), geometry)[..., 0] == 255
    inside = np.pad(inside, 1)[:-2, 1:-1] & inside & np.pad(inside, 1)[2:, 1:-1]
    assert difference[inside].max() <= 3 and difference[inside].mean() < 0.6 and inside.mean() > 0.5


@pytest.mark.parametrize(
    ("ours", "theirs"), [(RandAugment(1, 0), v2.RandAugment()), (TrivialAugment(), v2.TrivialAugmentWide())]
)
def test_ranges_are_torchvisions(ours: Any, theirs: Any) -> None:
    space = theirs._AUGMENTATION_SPACE
    assert set(space) == set(NAMES) and {k for k, (_, signed) in space.items() if signed} == SIGNED
    for name, (magnitudes, _) in space.items():
        levels = magnitudes(31, 60, 80)
        for m in range(31) if levels is not None else ():
            side = 60 if name.endswith("Y") else 80
            found, want = ours.strength(name, m / 30, side), float(levels[m])
            want = 1 - m / 30 if name == "Solarize" else want  # torchvision: in levels of the image's type
            if name == "Posterize":  # halves are rounded either way
                assert abs(found - want) <= 1
            else:
                assert found == pytest.approx(want, abs=1e-5)


def test_draws() -> None:
    drawn = Counter(name for seed in range(7000) for name, _ in RandAugment(2, 9).draw(Random(seed)))
    assert set(drawn) == set(NAMES) and all(abs(n - 1000) < 130 for n in drawn.values())
    shares = {share for seed in range(500) for _, share in RandAugment(3, 15).draw(Random(seed))}
    assert shares == {0.5, -0.5}
    wide = [TrivialAugment().draw(Random(seed)) for seed in range(3000)]
    assert {len(w) for w in wide} == {1}
    assert len({abs(share) for [(_, share)] in wide}) == 31
    assert {name for [(name, share)] in wide if share < 0} == SIGNED
    assert set(STEPS) | set(MATRICES) | {"Identity"} == set(NAMES)


@pytest.mark.parametrize("policy", [RandAugment(3, 12), TrivialAugment()])
def test_one_resampling_and_the_same_map_for_all(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Geometry] = []
    monkeypatch.setattr(
        image_module, "resample", lambda p, g, *a, **k: calls.append(g) or resample(p, g, *a, **k)
    )
    for seed in range(40):
        a, b = LazyImage(open_image(photo())), LazyImage(open_image(photo()))
        first, second, label = policy.apply((a, b, "label"), Random(seed), True)
        assert label == "label" and first.size == (60, 80)
        calls.clear()
        assert np.array_equal(np.asarray(first.picture()), np.asarray(second.picture()))
        assert len(calls) == 2 * (first.geometry is not None)
        again = policy.apply((a,), Random(seed), True)[0]
        assert np.array_equal(np.asarray(again.picture()), np.asarray(first.picture()))
    assert policy.apply((a,), Random(0), False) == (a,)


def test_curves_and_matrices_keep_their_order() -> None:
    """Curve, matrix, curve, measured curve: what each gives one after the other, to within rounding."""
    steps = [lighting(0.2, 0.9), saturation(0.8), brightened(0.8), AutoContrast(), hue(0.1), posterized(7)]
    image, stepwise = LazyImage(open_image(photo())), photo()
    for step in steps:
        image = image.recoloured(step)
        stepwise = done(step, stepwise).astype(np.uint8)
    found = np.asarray(image.picture()).astype(int)
    assert np.abs(found - stepwise).max() <= 4 and np.abs(found - stepwise).mean() < 1
    other = LazyImage(open_image(photo())).recoloured(saturation(1.6)).recoloured(lighting(0.6, 1.2))
    first = LazyImage(open_image(photo())).recoloured(lighting(0.6, 1.2)).recoloured(saturation(1.6))
    assert np.abs(np.asarray(other.picture()).astype(int) - np.asarray(first.picture())).max() > 5


@pytest.mark.parametrize("step", [*(s for s, _, _ in COLOURS.values()), hue(0.2)])
def test_floats_like_bytes_and_statistics(step: Any) -> None:
    """A float image, a byte image and one with lent statistics come out alike."""
    rows = []
    for pixels in (photo(), photo().astype(np.float32) / 255):
        image = LazyImage(open_image(pixels)).recoloured(step)
        row, lent = np.empty((60, 80, 3), np.float32), np.empty((60, 80, 3), np.float32)
        image.write(row)
        mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
        image.normalised(mean, std).write(lent)
        np.testing.assert_allclose(lent, (row - np.array(mean)) / np.array(std), atol=1e-5)
        rows.append(row)
    assert np.abs(rows[0] - rows[1]).max() < 2.5 / 255


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandAugment(0),
        lambda: RandAugment(2, 31),
        lambda: RandAugment(2, -1),
        lambda: RandAugment(pad_mode="nothing"),
        lambda: TrivialAugment("nothing"),
        lambda: RandAugment(1.5),
    ],
)
def test_bad_arguments(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()
