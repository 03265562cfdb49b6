"""The eight `ImageDataLoaders` constructors, on drawn pictures and on real photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.data.support import photo_folder

from wiggly.data.blocks import CategoryBlock, RegressionBlock
from wiggly.data.items import get_image_files
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, DataError, LabelError
from wiggly.vision.augment import RandomResizedCrop, Resize, aug_transforms
from wiggly.vision.image import PILImageBW
from wiggly.vision.loaders import ImageDataLoaders

COMMON: dict[str, Any] = {"bs": 4, "num_workers": 0, "device": "cpu", "item_tfms": Resize(16), "seed": 3}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("photos"), {"cat": 12, "Dog": 8})


@pytest.fixture(scope="module")
def files(photos: Path) -> list[Path]:
    return get_image_files(photos)


@pytest.fixture(scope="module")
def table(photos: Path, files: list[Path]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": [f.relative_to(photos).as_posix() for f in files],
            "label": [f.parent.name for f in files],
            "tags": [f"{f.parent.name};{'x' if i % 2 else 'y'}" for i, f in enumerate(files)],
            "age": np.linspace(0, 9.5, len(files)),
            "is_valid": [i % 5 == 0 for i in range(len(files))],
            "old": [i % 2 for i in range(len(files))],
        }
    )


def check(dls: DataLoaders, vocab: Any = ("Dog", "cat"), n_valid: int = 4) -> DataLoaders:
    """Every part is there, and every label is that of its picture's folder."""
    assert dls.vocab == list(vocab) and dls.c == len(vocab) and dls.bs == 4
    assert (len(dls.train_ds), len(dls.valid_ds)) == (20 - n_valid, n_valid)
    for batch in (next(iter(dls.train)), next(iter(dls.valid)), dls.one_batch()):
        assert batch[0].shape == (4, 3, 16, 16) and batch[1].shape[0] == 4
    return dls


def test_from_folder(photos: Path, files: list[Path]) -> None:
    dls = check(ImageDataLoaders.from_folder(photos, valid_pct=0.2, **COMMON))
    assert dls.path == photos and str(photos) in dls.recipe()["call"]
    assert isinstance(dls, DataLoaders)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3)).tolist()
    assert dls.valid_ds.items == [files[i] for i in order[:4]]
    check(ImageDataLoaders.from_folder(str(photos), valid_pct=0.2, vocab=["Dog", "cat"], **COMMON))
    grey = ImageDataLoaders.from_folder(photos, valid_pct=0.2, img_cls=PILImageBW, **COMMON)
    assert grey.one_batch()[0].shape == (4, 1, 16, 16)
    assert ImageDataLoaders.from_folder(photos, valid_pct=0.2, val_bs=2, **COMMON).valid.bs == 2
    with pytest.raises(TypeError, match="btach_tfms"):
        ImageDataLoaders.from_folder(photos, valid_pct=0.2, btach_tfms=[])  # type: ignore[call-arg]


def test_from_folder_with_its_own_parts(tmp_path: Path) -> None:
    for part, n in (("train", 6), ("val", 3), ("test", 4)):
        photo_folder(tmp_path / part, {"cat": n, "dog": n})
    dls = ImageDataLoaders.from_folder(tmp_path, valid="val", **COMMON)
    assert (len(dls.train_ds), len(dls.valid_ds)) == (12, 6)
    assert {p.parent.parent.name for p in dls.valid_ds.items} == {"val"}
    with pytest.raises(DataError, match=r"(?s)'valid'.*valid_pct=0\.2"):
        ImageDataLoaders.from_folder(tmp_path)


def test_the_call_in_the_recipe_makes_the_same_loaders(photos: Path) -> None:
    first = ImageDataLoaders.from_folder(photos, valid_pct=0.2, batch_tfms=aug_transforms(size=8), **COMMON)
    import wiggly

    scope: dict[str, Any] = {n: getattr(wiggly, n) for n in ("Resize", "Flip", "Warp", "Rotate", "Zoom")}
    scope |= {n: getattr(wiggly, n) for n in ("Brightness", "Contrast")} | {
        "ImageDataLoaders": ImageDataLoaders
    }
    exec(first.recipe()["call"], scope)
    for a, b in zip(first.train, scope["dls"].train, strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_from_functions_and_patterns(photos: Path, files: list[Path]) -> None:
    made = [
        ImageDataLoaders.from_path_func(photos, files, lambda p: p.parent.name, **COMMON),
        ImageDataLoaders.from_name_func(photos, files, lambda n: n.split("_")[0], **COMMON),
        ImageDataLoaders.from_path_re(photos, files, r"/([^/]+)_\d+.png$", **COMMON),
        ImageDataLoaders.from_name_re(photos, files, r"^(.+)_\d+.png$", **COMMON),
        ImageDataLoaders.from_name_re(photos, [str(f) for f in files], r"^(.+)_\d+.png$", **COMMON),
    ]
    batches = [next(iter(check(dls).train)) for dls in made]
    assert all(torch.equal(x, batches[0][0]) and torch.equal(y, batches[0][1]) for x, y in batches)
    seen: list[Any] = []
    ImageDataLoaders.from_name_func(photos, files, lambda n: bool(seen.append(n)) or n[0].isupper(), **COMMON)
    assert {type(n) for n in seen} == {str} and "Dog_0.png" in seen


def test_is_cat(photos: Path, files: list[Path]) -> None:
    """The first model of the course: a boolean as the label."""
    dls = check(
        ImageDataLoaders.from_name_func(photos, files, lambda x: x[0].isupper(), **COMMON), [False, True]
    )
    assert dls.vocab[dls.valid_ds[0][1]] is (dls.valid_ds.items[0].name[0] == "D")


def test_a_function_that_fails_on_one(photos: Path, files: list[Path]) -> None:
    with pytest.raises(LabelError, match=r"cat_3\.png.*ZeroDivisionError"):
        ImageDataLoaders.from_path_func(
            photos, files, lambda p: 1 / 0 if p.stem == "cat_3" else "a", **COMMON
        )
    with pytest.raises(LabelError, match=r"Dog_\d\.png"):
        ImageDataLoaders.from_name_re(photos, files, r"^(cat)_", **COMMON)
    with pytest.raises(DataError, match="must hold images"):
        ImageDataLoaders.from_name_re(photos, [], r"^(cat)_", **COMMON)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_from_df(photos: Path, table: pd.DataFrame, kind: str) -> None:
    library = pytest.importorskip(kind)
    columns = {c: table[c].tolist() for c in table}
    df = library.table(columns) if kind == "pyarrow" else library.DataFrame(columns)
    check(ImageDataLoaders.from_df(df, photos, **COMMON))
    check(
        ImageDataLoaders.from_df(df, photos, fn_col="name", label_col="label", valid_col="is_valid", **COMMON)
    )
    many = check(
        ImageDataLoaders.from_df(df, photos, label_col="tags", label_delim=";", **COMMON),
        ["Dog", "cat", "x", "y"],
    )
    assert many.one_batch()[1].sum() == 8 and many.target_blocks[0].loss == "bce_logits"
    several = ImageDataLoaders.from_df(df, photos, label_col=["label", "old"], **COMMON)
    assert several.vocab == [0, 1, "Dog", "cat"] or set(several.vocab) == {0, 1, "Dog", "cat"}
    age = ImageDataLoaders.from_df(df, photos, label_col="age", **COMMON)
    assert isinstance(age.target_blocks[0], RegressionBlock) and age.one_batch()[1].dtype == torch.float32
    forced = ImageDataLoaders.from_df(df, photos, label_col="old", y_block=RegressionBlock, **COMMON)
    assert forced.target_blocks[0].loss == "mse"
    assert ImageDataLoaders.from_df(df, photos, label_col="old", **COMMON).vocab == [0, 1]


def test_from_df_finds_the_files(photos: Path, table: pd.DataFrame, files: list[Path]) -> None:
    bare = table.assign(name=[f.stem for f in files])[table.label == "cat"].assign(label=list("ab") * 6)
    dls = ImageDataLoaders.from_df(bare, photos, folder="cat", suff=".png", **COMMON)
    assert dls.one_batch()[0].shape == (4, 3, 16, 16) and not dls.bad_items
    absolute = table.assign(name=[str(f) for f in files])
    for path in (".", photos):
        check(ImageDataLoaders.from_df(absolute, path, **COMMON))
    shuffled = table.sample(frac=1, random_state=0)
    dls = check(ImageDataLoaders.from_df(shuffled, photos, **COMMON))
    for i in range(4):
        assert dls.vocab[dls.valid_ds[i][1]] == dls.valid_ds.items[i]["label"]


def test_from_df_without_its_columns(photos: Path, table: pd.DataFrame) -> None:
    for wrong in ({"label_col": "lable"}, {"valid_col": "valid"}):
        with pytest.raises(DataError, match="'is_valid'"):
            ImageDataLoaders.from_df(table, photos, **wrong, **COMMON)
    missing = table.assign(label=[None, *table.label[1:]])
    with pytest.raises(LabelError, match="row 0"):
        ImageDataLoaders.from_df(missing, photos, **COMMON)
    with pytest.raises(LabelError, match=r"finite.*row 2"):
        ImageDataLoaders.from_df(
            table.assign(age=[0.0, 1.0, np.nan, *table.age[3:]]), photos, label_col="age", **COMMON
        )


def test_from_csv(photos: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    for f in (photos / "labels.csv", photos / "semi.csv", photos / "bare.csv"):
        f.unlink(missing_ok=True)
    table.to_csv(photos / "labels.csv", index=False)
    table.to_csv(photos / "semi.csv", index=False, sep="|")
    table.to_csv(photos / "bare.csv", index=False, header=False)
    check(ImageDataLoaders.from_csv(photos, **COMMON))
    check(ImageDataLoaders.from_csv(photos, "semi.csv", delimiter="|", valid_col="is_valid", **COMMON))
    check(ImageDataLoaders.from_csv(photos, "bare.csv", header=None, **COMMON))
    check(ImageDataLoaders.from_csv(photos, "bare.csv", header=None, valid_col=4, **COMMON))
    age = ImageDataLoaders.from_csv(photos, "bare.csv", header=None, label_col=3, **COMMON)
    assert isinstance(age.target_blocks[0], RegressionBlock)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    for name in ("nowhere.csv", "empty.csv", "binary.csv", "."):
        with pytest.raises(DataError, match="CSV file must be readable"):
            ImageDataLoaders.from_csv(tmp_path, name, **COMMON)


@pytest.mark.parametrize(
    ("labels", "block", "loss"),
    [
        (list("ab") * 10, CategoryBlock, "cross_entropy"),
        ([0, 1] * 10, CategoryBlock, "cross_entropy"),
        (np.array(list("ab") * 10), CategoryBlock, "cross_entropy"),
        (pd.Series(list("ab") * 10, index=range(5, 25)), CategoryBlock, "cross_entropy"),
        (np.arange(20) % 2 == 0, CategoryBlock, "cross_entropy"),
        ([0.5, 1.5] * 10, RegressionBlock, "mse"),
        (np.linspace(0, 1, 20, dtype=np.float32), RegressionBlock, "mse"),
        ([["a"], ["a", "b"]] * 10, CategoryBlock, "bce_logits"),
    ],
)
def test_from_lists(photos: Path, files: list[Path], labels: Any, block: Any, loss: str) -> None:
    dls = ImageDataLoaders.from_lists(photos, files, labels, **COMMON)
    assert isinstance(dls.target_blocks[0], block) and dls.target_blocks[0].loss == loss
    assert dls.one_batch()[0].shape == (4, 3, 16, 16) and len(dls.valid_ds) == 4
    assert len(dls.test_dl(files[:3]).dataset) == 3 and next(iter(dls.test_dl(files[:3])))[0].shape[0] == 3
    with pytest.raises(ArgumentError, match="20 and 19"):
        ImageDataLoaders.from_lists(photos, files, list(labels)[:-1], **COMMON)


# -------------------------------------------------------------------------------------- bad folders
def test_folders_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts" / "a").mkdir(parents=True)
    (tmp_path / "texts" / "a" / "b.txt").touch()
    for name in ("empty", "texts"):
        with pytest.raises(DataError, match=f"{name}' must hold images"):
            ImageDataLoaders.from_folder(tmp_path / name, valid_pct=0.2)
    for options in ({}, {"valid_pct": 0.2}):
        with pytest.raises(DataError, match="nowhere' is missing"):
            ImageDataLoaders.from_folder(tmp_path / "nowhere", **options)
    with pytest.raises(LabelError, match=r"at least 2 classes.*\['only'\]"):
        ImageDataLoaders.from_folder(photo_folder(tmp_path / "one", {"only": 5}), valid_pct=0.2)
    flat = photo_folder(tmp_path / "flat", {".": 5})
    with pytest.raises(LabelError, match=r"\['flat'\]"):
        ImageDataLoaders.from_folder(flat, valid_pct=0.2)
    with pytest.raises(DataError, match=r"(?s)of 10 images 0 .*Pass `valid_pct=0\.2` to split at random"):
        ImageDataLoaders.from_folder(photo_folder(tmp_path / "plain", {"a": 5, "b": 5}))
    with pytest.raises(DataError, match="validation; it left 0 of 4"):
        ImageDataLoaders.from_folder(photo_folder(tmp_path / "few", {"a": 2, "b": 2}), valid_pct=0.2)
    with pytest.raises(ArgumentError, match="valid_pct"):
        ImageDataLoaders.from_folder(tmp_path / "plain", valid_pct=20)


def test_nested_folders_and_other_files(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path, {"2023/may/cat": 5, "2024/cat": 5, "dog": 5})
    (folder / "readme.txt").write_text("hello")
    (folder / "dog" / "Thumbs.db").write_bytes(b"\0")
    (folder / "dog" / "._dog_0.png").write_bytes(b"\0")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.png").touch()
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.2, **COMMON)
    assert dls.vocab == ["cat", "dog"] and len(dls.train_ds) + len(dls.valid_ds) == 15


# -------------------------------------------------------------------------------------- real photos
def test_hymenoptera(shared: Path) -> None:
    path = shared / "data" / "hymenoptera"
    dls = ImageDataLoaders.from_folder(
        path, valid="val", bs=16, num_workers=2, device="cpu", item_tfms=RandomResizedCrop(64, min_scale=0.5)
    )
    assert (len(dls.train_ds), len(dls.valid_ds), dls.vocab) == (244, 153, ["ants", "bees"])
    x, y = next(iter(dls.train))
    assert (
        x.shape == (16, 3, 64, 64) and 0 <= x.min() < 0.1 and 0.9 < x.max() <= 1 and set(y.tolist()) == {0, 1}
    )


def test_pets(shared: Path) -> None:
    path = shared / "data" / "pets"
    files = get_image_files(path / "images")
    cats = ImageDataLoaders.from_name_func(
        path, files, lambda x: x[0].isupper(), seed=42, item_tfms=Resize(64), num_workers=2, device="cpu"
    )
    assert cats.vocab == [False, True] and len(cats.train_ds) + len(cats.valid_ds) == 1050
    breeds = ImageDataLoaders.from_name_re(
        path,
        files,
        r"^(.*)_\d+.jpg$",
        seed=42,
        item_tfms=Resize(80),
        batch_tfms=aug_transforms(size=64),
        bs=8,
        device="cpu",
    )
    assert breeds.c == 37 and breeds.vocab == sorted(breeds.vocab) and breeds.vocab[0] == "Abyssinian"
    table = pd.read_csv(path / "index.csv")
    by_table = ImageDataLoaders.from_df(
        table,
        path,
        folder="images",
        fn_col="fname",
        label_col="breed",
        seed=42,
        item_tfms=Resize(64),
        bs=8,
        device="cpu",
    )
    assert by_table.vocab == breeds.vocab and by_table.one_batch()[0].shape == (8, 3, 64, 64)


def test_digits(digits_folder: Path) -> None:
    dls = ImageDataLoaders.from_folder(digits_folder, valid_pct=0.2, seed=0, img_cls=PILImageBW, device="cpu")
    assert dls.c == 10 and len(list(dls.valid)) == 1 and not dls.bad_items
    assert dls.one_batch()[0].shape == (64, 1, 32, 32)
