"""`dls.profile()` names the bottleneck that was planted, and leaves loaders and learner as they were."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.support import gradient, photo_folder
from torch import nn

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock
from wiggly.data.items import get_image_files, parent_label
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.data.profiling.diagnosis import Profile, Stage, diagnosis
from wiggly.data.profiling.profile import _lock_share, profile
from wiggly.data.profiling.stopwatch import Stopwatch
from wiggly.data.split import RandomSplitter
from wiggly.errors import ArgumentError, DataError
from wiggly.train.learner import Learner
from wiggly.vision import decode
from wiggly.vision.augment import aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.resize import Resize


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return photo_folder(tmp_path / "photos", {"cat": 20, "dog": 20}, kind="jpg")


def loaders(folder: Path, **options: Any) -> DataLoaders:
    keep = ("cache", "bs", "num_workers", "max_bad")
    rest = {k: options.pop(k) for k in keep if k in options}
    options = {"item_tfms": Resize(32), "get_y": parent_label, **options}
    block = DataBlock(
        (ImageBlock, CategoryBlock), get_items=get_image_files, splitter=RandomSplitter(seed=0), **options
    )
    return block.dataloaders(folder, **{"bs": 8, "num_workers": 2, "seed": 1, "device": "cpu", **rest})


def stage(made: Profile, name: str) -> Stage:
    return next(s for s in made.stages if s.name == name)


# ---------------------------------------------------------------------------- planted bottlenecks, one each


def test_a_getter_that_sleeps(photos: Path) -> None:
    def slow(path: Path) -> Path:
        time.sleep(0.01)
        return path

    made = loaders(photos, get_x=slow).profile()
    assert made.bottleneck == "getters" and "keep it in a table" in made.fix and "waits" in made.fix


def test_a_transform_that_sleeps(photos: Path) -> None:
    def fetch_background(picture: Any) -> Any:
        time.sleep(0.01)
        return picture

    made = loaders(photos, item_tfms=[fetch_background, Resize(32)]).profile()
    assert made.bottleneck == "fetch_background" and "waits for something else" in made.fix


def test_a_slow_read(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = decode.read_file

    def slow(path: str, name: str) -> bytes:
        time.sleep(0.01)
        return read(path, name)

    monkeypatch.setattr(decode, "read_file", slow)
    made = loaders(photos).profile()
    assert made.bottleneck == "read" and "disk or the network is slow" in made.fix and "cache=" in made.fix


def test_huge_photos(tmp_path: Path) -> None:
    for n in range(6):
        (tmp_path / "ab"[n % 2]).mkdir(exist_ok=True)
        Image.fromarray(gradient(1500, 2000)).save(tmp_path / "ab"[n % 2] / f"{n}.jpg")
    dls = loaders(tmp_path, item_tfms=[Resize(64), *aug_transforms(size=32)], bs=2)
    made = dls.profile()
    assert made.bottleneck == "decode" and "large (2000×1500 on average, for 32×32)" in made.fix
    assert made.source_size == (1500, 2000) and made.target_size == (32, 32)
    assert float(made.fix.split("about ")[1].split()[0]) > 1
    cached = loaders(tmp_path, item_tfms=[Resize(64), *aug_transforms(size=32)], bs=2, cache="ram").profile()
    assert cached.bottleneck != "decode"


def test_python_that_holds_the_lock(photos: Path) -> None:
    def count_by_hand(picture: Any) -> Any:
        total = 0
        for n in range(100_000):
            total += n
        return picture

    made = loaders(photos, item_tfms=[count_by_hand, Resize(32)]).profile()
    assert made.bottleneck == "count_by_hand" and "holds Python's lock" in made.fix
    assert stage(made, "count_by_hand").holds_lock > 0.5


class Slow(nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.last, self.seconds = nn.Linear(3, 2), seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return self.last(x.mean((2, 3)))


def test_a_slow_model(photos: Path) -> None:
    dls = loaders(photos)
    made = dls.profile(Learner(dls, Slow(0.1)))
    assert made.bottleneck == "model" and "gains nothing" in made.fix
    assert made.waiting is not None and made.waiting < 0.3
    assert made.model_items_per_second == pytest.approx(8 / 0.1, rel=0.3)


def test_a_model_that_waits(photos: Path) -> None:
    def slow(path: Path) -> Path:
        time.sleep(0.01)
        return path

    dls = loaders(photos, get_x=slow)
    made = dls.profile(Learner(dls, Slow(0.0)))
    assert made.bottleneck == "getters" and made.waiting is not None and made.waiting > 0.5


def test_a_slow_transform_of_the_batch(photos: Path) -> None:
    def heavy(images: torch.Tensor) -> torch.Tensor:
        for _ in range(200):
            hashlib.blake2b(images.numpy().tobytes()).digest()
        return images

    made = loaders(photos, batch_tfms=heavy).profile()
    assert made.bottleneck == "batch_tfms" and "wiggly's own" in made.fix


# --------------------------------------------------------------------------------------------- what it says


def test_prints_a_table_and_one_sentence(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = loaders(photos).profile(n=16)
    text = capsys.readouterr().out
    assert text == f"{made}\n" and len(text.splitlines()) < 14
    assert "ms per item" in text and "loader, 2 threads" in text and f"bottleneck: {made.bottleneck}" in text
    assert made.n_items == 16 and sum(s.share for s in made.stages) == pytest.approx(1)
    assert {"getters", "read", "decode", "draw", "warp and colour", "encode", "collate"} == {
        s.name for s in made.stages
    }
    assert repr(made).startswith("Profile(bottleneck=")


def test_with_a_cache_nothing_is_read_or_decoded(photos: Path) -> None:
    made = loaders(photos, cache="ram").profile()
    names = {s.name for s in made.stages}
    assert "cache" in names and not names & {"read", "decode"}
    assert stage(made, "cache").share < 0.5


def test_leaves_everything_as_it_was(photos: Path) -> None:
    dls, same = loaders(photos), loaders(photos)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    learn = Learner(dls, model)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    dls.profile(learn)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert dls.train.epoch == 0 and dls.bad_items == {}
    for a, b in zip(dls.train.batches(), same.train.batches(), strict=True):
        assert torch.equal(a.inputs[0], b.inputs[0])


def test_unreadable_items_are_left_out(photos: Path) -> None:
    for path in sorted(photos.rglob("*.jpg"))[::2]:
        path.write_bytes(b"")
    dls = loaders(photos, max_bad=1.0)
    made = dls.profile()
    assert 0 < made.n_items < len(dls.train_ds) and dls.bad_items == {}
    for path in photos.rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="at least 1 item must be readable"):
        loaders(photos, max_bad=1.0).profile()


def test_needs_a_loader_of_blocks(photos: Path) -> None:
    with pytest.raises(ArgumentError, match="built from blocks; it is a DataLoader"):
        profile(DataLoader(range(10)))
    with pytest.raises(ArgumentError, match="`n` must be at least 1"):
        loaders(photos).profile(n=0)


def made_of(stages: dict[str, tuple[float, float]], **options: Any) -> Profile:
    total = sum(wall for wall, _ in stages.values())
    found = tuple(Stage(name, wall, cpu, wall / total) for name, (wall, cpu) in stages.items())
    return Profile(found, 64, **{"workers": 2, "items_per_second": 1.9 / total, **options})


def test_threads_that_fight(monkeypatch: pytest.MonkeyPatch) -> None:
    work = {"decode": (0.006, 0.006), "warp and colour": (0.004, 0.004)}
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    bottleneck, fix = diagnosis(made_of(work, items_per_second=80), 2, True)
    assert bottleneck == "decode" and "OMP_WAIT_POLICY=passive" in fix and "only 40%" in fix
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert "OMP_WAIT_POLICY" not in diagnosis(made_of(work, items_per_second=80), 2, True)[1]
    assert "threads" not in diagnosis(made_of(work), 2, True)[1]


def test_rows_of_shards_are_read_with_a_cache_as_well() -> None:
    work = {"read": (0.006, 0.001), "decode": (0.004, 0.004)}
    assert "cache=" in diagnosis(made_of(work), 2, True)[1]
    assert "cache=" not in diagnosis(made_of(work, from_shards=True), 2, True)[1]
    work = {"read": (0.004, 0.004), "decode": (0.006, 0.006)}
    assert "about 2.5 times" in diagnosis(made_of(work, from_shards=True), 2, True)[1]


def test_too_few_threads() -> None:
    bottleneck, fix = diagnosis(made_of({"decode": (0.01, 0.01)}, workers=1, items_per_second=95), 8, True)
    assert bottleneck == "decode" and "leave out `num_workers`" in fix and "8 cores" in fix


def test_the_warp_is_as_it_should_be() -> None:
    made = made_of({"cache": (0.0001, 0.0001), "warp and colour": (0.004, 0.004)})
    assert "as it should be" in diagnosis(made, 2, True)[1] and "warp_on" in diagnosis(made, 2, True)[1]
    assert "warp_on" not in diagnosis(made, 2, False)[1]


# ------------------------------------------------------------------------------------------------- the clock


def test_stages_inside_others_are_not_counted_twice() -> None:
    watch = Stopwatch()
    with watch("a"):
        time.sleep(0.02)
        for _ in range(3):
            with watch("b"):
                time.sleep(0.01)
    with pytest.raises(KeyError), watch("c"):
        raise KeyError
    assert watch.wall["a"] == pytest.approx(0.02, abs=0.01) and watch.wall["b"] == pytest.approx(
        0.03, abs=0.01
    )
    assert watch.cpu["a"] < 0.01 and "c" in watch.wall


def test_who_holds_the_lock() -> None:
    pixels = np.zeros((1000, 1000))
    assert _lock_share(lambda: sum(range(1000))) > 0.5
    assert _lock_share(lambda: time.sleep(0.01)) < 0.3
    assert _lock_share(lambda: pixels.sum()) < 0.4
