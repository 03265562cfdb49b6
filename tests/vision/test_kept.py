"""Loaders with a cache: the same batches as without, nothing decoded or read twice, never a stale picture."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.support import encoded, gradient, noise

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock
from wiggly.data.cache.keeping import Keeping, choose_cache
from wiggly.data.cache.store import RamCache
from wiggly.data.items import get_image_files, parent_label
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import RandomSplitter
from wiggly.errors import ArgumentError, LabelError
from wiggly.vision import decode, kept
from wiggly.vision.augment import aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.image import LazyImage, PILImage, PILImageBW
from wiggly.vision.kept import KeptImage, open_kept
from wiggly.vision.loaders import ImageDataLoaders
from wiggly.vision.mask import MaskBlock
from wiggly.vision.resize import RandomResizedCrop, Resize

# Not at random: every kind of file that is decoded in its own way.
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("jpg", "JPEG", {"quality": 90}),
    ("jpg", "JPEG", {"quality": 90, "subsampling": 0}),
    ("png", "PNG", {}),
    ("webp", "WEBP", {}),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of two classes: several formats and sizes, turned ones, grey ones; not to be changed."""
    folder = tmp_path_factory.mktemp("kept") / "photos"
    for n in range(24):
        suffix, kind, options = KINDS[n % 4]
        size = (90 + 7 * n, 120 + 5 * n) if n % 3 else (300, 400)
        picture = Image.fromarray(gradient(*size) // 2 + noise(*size, seed=n) // 2)
        if n % 5 == 0:
            picture = picture.convert("L")
        if kind == "JPEG" and n % 8:
            exif = Image.Exif()
            exif[decode.ORIENTATION_TAG] = 1 + n % 8
            options = {**options, "exif": exif}
        place = folder / ("cat" if n % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{n}.{suffix}", kind, **options)
    settle(folder)
    return folder


@pytest.fixture
def own_photos(photos: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(photos, tmp_path / "photos")
    settle(tmp_path / "photos")
    return tmp_path / "photos"


def settle(folder: Path) -> None:
    """Time stamps of files written in this moment are not trusted yet."""
    time.sleep(0.15)
    for path in folder.rglob("*.*"):
        if path.stat().st_mtime_ns % 10**9 == 0:
            pytest.skip("needs a file system with fine time stamps")


def loaders(folder: Path, tfms: Any, cls: type[PILImage] = PILImage, **options: Any) -> DataLoaders:
    options = {"bs": 5, "num_workers": 2, "seed": 3, "device": "cpu", **options}
    block = DataBlock(
        (ImageBlock(cls), CategoryBlock),
        get_items=get_image_files,
        get_y=parent_label,
        splitter=RandomSplitter(0.4, seed=0),
        item_tfms=tfms,
    )
    return block.dataloaders(folder, **options)


def differences(plain: Any, cached: Any) -> list[float]:
    """Mean absolute difference of each image in grey levels, after checking that all else is equal."""
    found: list[float] = []
    for a, b in zip(plain.batches(), cached.batches(), strict=True):
        assert a.positions == b.positions and torch.equal(a.targets[0], b.targets[0])
        found += (255 * (a.inputs[0] - b.inputs[0]).abs()).mean((1, 2, 3)).tolist()
    return found


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("a file is read or decoded although it is in the cache")

    monkeypatch.setattr(decode.simplejpeg, "decode_jpeg", fail)
    monkeypatch.setattr(decode.simplejpeg, "decode_jpeg_header", fail)
    monkeypatch.setattr(kept, "read_file", fail)


@pytest.fixture(params=["ram", "disk"])
def where(request: Any, tmp_path: Path) -> dict[str, Any]:
    return {"cache": request.param, "cache_path": tmp_path / "cache"}


@pytest.mark.parametrize("cls", [PILImage, PILImageBW])
@pytest.mark.parametrize(
    "tfms",
    [Resize(64), Resize((40, 90), "pad"), Resize(224, "squish"), RandomResizedCrop(48)],
    ids=["crop", "pad", "squish", "random"],
)
def test_validation_is_equal_to_the_bit(
    photos: Path, where: Any, tfms: Any, cls: type[PILImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, cached = loaders(photos, tfms, cls), loaders(photos, tfms, cls, **where)
    assert max(differences(plain.valid, cached.valid)) == 0.0
    again = list(plain.valid.batches())
    no_decoding(monkeypatch)
    for a, b in zip(again, cached.valid.batches(), strict=True):
        assert torch.equal(a.inputs[0], b.inputs[0])


def test_training_with_one_scale_is_equal_to_the_bit(photos: Path, where: Any) -> None:
    plain, cached = loaders(photos, Resize(64)), loaders(photos, Resize(64), **where)
    for _ in range(2):
        assert max(differences(plain.train, cached.train)) == 0.0


@pytest.mark.parametrize(
    "tfms",
    [[RandomResizedCrop(64)], [Resize(96), *aug_transforms(size=64)]],
    ids=["random crop", "all"],
)
def test_training_draws_the_same_and_differs_little(photos: Path, tfms: Any) -> None:
    """Draws that would have decoded a finer or coarser copy use the common one; noise is worst."""
    plain, cached = loaders(photos, tfms), loaders(photos, tfms, cache="ram")
    found = [d for _ in range(3) for d in differences(plain.train, cached.train)]
    assert np.median(found) < 1.0 and max(found) < 6.0


def test_real_photos_differ_by_a_fraction_of_a_grey_level(shared: Path) -> None:
    everything = get_image_files(shared / "data" / "pets")
    files = [everything[k * len(everything) // 40] for k in range(40)]
    tfms = [Resize(200), *aug_transforms(size=128)]
    options: dict[str, Any] = {"item_tfms": tfms, "bs": 8, "seed": 3, "device": "cpu", "valid_pct": 0.2}
    plain = ImageDataLoaders.from_name_func(".", files, lambda n: n[0].isupper(), **options)
    cached = ImageDataLoaders.from_name_func(".", files, lambda n: n[0].isupper(), **options, cache="ram")
    found = [d for _ in range(2) for d in differences(plain.train, cached.train)]
    assert np.mean(found) < 0.2 and max(found) < 1.5
    assert max(differences(plain.valid, cached.valid)) == 0.0


def test_an_image_is_decoded_once(photos: Path, where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = loaders(photos, [Resize(96), *aug_transforms(size=64)], **where, bs=4)
    for _ in range(3):  # the last, smaller batch is left out: some items come later
        list(cached.train.batches())
    seen = {p for _ in range(1) for b in cached.train.batches() for p in b.positions}
    before = cached.cache.misses if cached.cache else -1
    no_decoding(monkeypatch)
    list(cached.train.batches())
    assert seen and cached.cache is not None and cached.cache.misses == before


def test_another_run_reads_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where: dict[str, Any] = {"cache": "disk", "cache_path": tmp_path / "cache"}
    first = [b.inputs[0] for b in loaders(photos, Resize(64), **where).valid.batches()]
    no_decoding(monkeypatch)
    second = [b.inputs[0] for b in loaders(photos, Resize(64), **where).valid.batches()]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_copy_elsewhere_is_known_by_its_content(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: dict[str, Any] = {"cache": "disk", "cache_path": tmp_path / "cache"}
    first = [b.inputs[0] for b in loaders(photos, Resize(64), **where).valid.batches()]
    shutil.copytree(photos, tmp_path / "copy")
    monkeypatch.setattr(kept.KeptImage, "_read", None)
    second = [b.inputs[0] for b in loaders(tmp_path / "copy", Resize(64), **where).valid.batches()]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("same", ["size", "size and time"])
def test_a_changed_file_is_never_served_stale(own_photos: Path, where: Any, same: str) -> None:
    plain, cached = loaders(own_photos, Resize(64)), loaders(own_photos, Resize(64), **where)
    list(cached.valid.batches())
    path = Path(cached.valid_ds.items[0])
    old = path.stat()
    data = bytearray(path.read_bytes())
    new = bytes(data[:-1]) + bytes([data[-1] ^ 1])  # as long; then another picture altogether
    path.write_bytes(new)
    other = Image.fromarray(noise(90, 120, seed=99))
    other.save(path, "JPEG" if path.suffix == ".jpg" else path.suffix[1:].upper())
    if same == "size and time":
        path.write_bytes(path.read_bytes()[: old.st_size].ljust(old.st_size, b"\0"))
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert differences(plain.valid, cached.valid) == [0.0] * len(plain.valid_ds)


def test_size_is_what_the_draws_need(tmp_path: Path) -> None:
    for n in range(4):
        place = tmp_path / "photos" / ("a" if n % 2 else "b")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gradient(1200, 1600)).save(place / f"{n}.jpg")
    sizes: dict[str, int] = {}
    for name, tfms in {
        "small": [Resize(64)],
        "large": [Resize(224)],
        "all": [Resize(224), *aug_transforms(size=128)],
        "callable": [lambda picture: picture.resize((64, 64))],
    }.items():
        cached = loaders(tmp_path / "photos", tfms, cache="ram", bs=1)
        list(cached.train.batches())
        assert cached.cache is not None
        sizes[name] = cached.cache.size
    # One entry, for the three training files hold the same.
    assert sizes == {
        "small": 150 * 200 * 3,
        "large": 600 * 800 * 3,
        "all": 300 * 400 * 3,
        "callable": 1200 * 1600 * 3,
    }


def test_bad_items_are_not_kept_as_good(own_photos: Path, where: Any) -> None:
    files = sorted(own_photos.rglob("*.jpg"))
    good = files[1].read_bytes()
    files[0].write_bytes(b"")
    files[1].write_bytes(good[: len(good) // 3])
    files[2].write_bytes(b"no image at all")
    plain = loaders(own_photos, Resize(64), max_bad=1.0)
    cached = loaders(own_photos, Resize(64), max_bad=1.0, **where)
    for _ in range(2):
        for side in ("train", "valid"):
            list(getattr(plain, side).batches())
            list(getattr(cached, side).batches())
    assert cached.bad_items == plain.bad_items and len(plain.bad_items) == 3
    files[1].write_bytes(good)
    repaired = loaders(own_photos, Resize(64), max_bad=1.0, **where)
    list(repaired.train.batches()), list(repaired.valid.batches())
    assert str(files[1]) not in repaired.bad_items


def test_a_file_that_vanishes_is_a_bad_item(own_photos: Path, where: Any) -> None:
    cached = loaders(own_photos, Resize(64), max_bad=1.0, **where)
    list(cached.valid.batches())
    gone = Path(cached.valid_ds.items[0])
    gone.unlink()
    list(cached.valid.batches())
    assert list(cached.bad_items) == [str(gone)]


def test_people_and_callables_see_the_whole_picture(photos: Path) -> None:
    sizes: list[Any] = []

    def note(picture: Any) -> Any:
        sizes.append(picture.size)
        return picture.resize((32, 32))

    cached = loaders(photos, [Resize(64)], cache="ram", num_workers=0)
    list(cached.train.batches())
    plain = loaders(photos, [Resize(64)])
    for position in range(len(plain.train_ds)):
        assert np.array_equal(cached.train_ds[position][0], plain.train_ds[position][0])
    plain, cached = loaders(photos, [note]), loaders(photos, [note], cache="ram")
    for _ in range(2):
        assert max(differences(plain.train, cached.train)) == 0.0
    assert set(sizes) == {cached.train_ds[k][0].size for k in range(len(cached.train_ds))}


def opened(source: Any, channels: int, keeping: Keeping) -> decode.EncodedImage:
    return open_kept(source, lambda s, name: decode.open_image(s, channels, name), f"{channels}", keeping)


def test_images_given_as_bytes() -> None:
    keeping = Keeping(RamCache(10**7))
    data = encoded(gradient(200, 300), "JPEG")
    first, second = (opened(data, 3, keeping) for _ in range(2))
    assert np.array_equal(first.pixels(50, 75), decode.open_image(data).pixels(50, 75))
    assert np.shares_memory(first.pixels(50, 75), second.pixels(50, 75)) and keeping.cache.misses == 1
    assert isinstance(second, KeptImage) and (second.height, second.width) == (200, 300)
    assert np.shares_memory(
        opened({"bytes": data, "path": "x"}, 3, keeping).pixels(50, 75), second.pixels(50, 75)
    )
    assert not isinstance(opened(gradient(), 3, keeping), KeptImage)


def test_other_settings_are_other_entries() -> None:
    keeping, data = Keeping(RamCache(10**8)), encoded(gradient(200, 300), "JPEG")
    for channels in (1, 3):
        for least in ((0, 0), (100, 100), (50, 50), (20, 20)):
            wanted = decode.open_image(data, channels).pixels(*least)
            for _ in range(2):
                assert np.array_equal(opened(data, channels, keeping).pixels(*least), wanted)


def test_what_is_kept_cannot_be_changed(photos: Path) -> None:
    block, keeping = ImageBlock(), Keeping(RamCache(10**8))
    block.load_kept(get_image_files(photos)[0], keeping).pixels()
    value = block.load_kept(get_image_files(photos)[0], keeping)
    assert isinstance(value, LazyImage) and not value.pixels().flags.writeable
    picture = value.picture()
    picture.paste((0, 0, 0), (0, 0, *picture.size))
    assert np.asarray(block.load_kept(get_image_files(photos)[0], keeping).picture()).any()


def test_reports_say_which_cache(photos: Path, where: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cached = loaders(photos, Resize(64), **where, cache_bytes=50_000_000)
    list(cached.train.batches())
    assert cached.cache is not None and cached.recipe()["cache"] == cached.cache.describe()
    assert cached.recipe()["cache"].startswith(f"{where['cache']}: ")
    assert loaders(photos, Resize(64)).recipe()["cache"] is None
    assert loaders(photos, Resize(64), cache=cached.cache).cache is cached.cache
    assert capsys.readouterr().err == ""
    auto = loaders(photos, Resize(64), cache="auto", cache_path=where["cache_path"])
    told = capsys.readouterr().err
    assert auto.cache is not None and told.startswith("cache: ram, for") and told.count("\n") == 1


def test_auto_estimates_what_the_items_take(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from wiggly.data.cache import keeping

    cached = loaders(photos, Resize(64), cache="ram", bs=1)
    list(cached.train.batches()), list(cached.valid.batches())
    assert cached.cache is not None
    estimate = sum(keeping._bytes_needed(ds) for ds in (cached.train_ds, cached.valid_ds))
    assert cached.cache.size <= estimate <= 1.5 * cached.cache.size
    assert loaders(photos, Resize(64), cache="auto", cache_bytes=1000).cache is None
    assert "cache: none" in capsys.readouterr().err


def test_all_constructors_take_a_cache(photos: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"valid_pct": 0.3, "item_tfms": Resize(32), "cache": "disk", "device": "cpu"}
    dls = ImageDataLoaders.from_folder(photos, **options, cache_path=tmp_path / "c")
    assert dls.cache is not None and dls.cache.kind == "disk" and "cache='disk'" in dls.recipe()["call"]
    with pytest.raises(ArgumentError, match="`cache` must be 'ram', 'disk', 'auto' or None; it is 'tape'"):
        ImageDataLoaders.from_folder(photos, **{**options, "cache": "tape"})


@pytest.mark.parametrize("type_", [np.uint8, np.int32])
def test_masks_and_bands_are_kept_too(
    tmp_path: Path, where: Any, type_: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    indices = np.arange(12, dtype=type_).reshape(3, 4) * (1 if type_ == np.uint8 else 100)
    bands = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    np.save(tmp_path / "mask.npy", indices)
    np.save(tmp_path / "bands.npy", bands)
    settle(tmp_path)
    chosen = choose_cache(where["cache"], where["cache_path"], None, lambda: 0)[0]
    assert chosen is not None
    for _ in range(2):
        mask = MaskBlock().load_kept(tmp_path / "mask.npy", Keeping(chosen))
        assert mask.indices.dtype == type_ and np.array_equal(mask.indices, indices)
        image = ImageBlock(channels=5).load_kept(str(tmp_path / "bands.npy"), Keeping(chosen))
        assert np.array_equal(image.pixels(), bands)
        no_decoding(monkeypatch)
    with pytest.raises(LabelError, match=r"has 11|has 1100"):
        MaskBlock(range(5)).load_kept(tmp_path / "mask.npy", Keeping(chosen))


BUILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.vision.test_kept import Resize, loaders
dls = loaders(Path(sys.argv[2]), Resize(64), cache="disk", cache_path=sys.argv[3], bs=1)
for batch in dls.train.batches():
    print(batch.positions, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("batches", [1, 5])
def test_a_run_killed_while_caching(photos: Path, tmp_path: Path, batches: int) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", BUILD, str(root), str(photos), str(tmp_path / "cache")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    for _ in range(batches):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    plain = loaders(photos, Resize(64), bs=1)
    cached = loaders(photos, Resize(64), bs=1, cache="disk", cache_path=tmp_path / "cache")
    assert cached.cache is not None
    assert max(differences(plain.train, cached.train)) == 0.0
    assert cached.cache.misses < len(plain.train_ds)  # what was done before the kill is used
