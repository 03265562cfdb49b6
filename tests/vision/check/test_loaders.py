"""`dls.check()`: labels, split, groups, sizes, masks and boxes as the loaders have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wiggly import (
    BBoxBlock,
    BBoxLblBlock,
    CategoryBlock,
    ColReader,
    DataBlock,
    DataLoader,
    DataLoaders,
    ImageBlock,
    ImageDataLoaders,
    IndexSplitter,
    MaskBlock,
    Resize,
    get_image_files,
    parent_label,
)
from wiggly.errors import ArgumentError
from wiggly.vision.check import check_folder


def picture(seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A picture like no other, with structure at every scale."""
    random, total = np.random.default_rng(seed), np.zeros((size[1], size[0], 3))
    for cells in (3, 6, 12, 24, 48):
        grid = random.integers(0, 255, (cells, cells, 3), dtype=np.uint8)
        total += np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC), dtype=float) / 5
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 15 pictures each."""
    for k in range(30):
        path = tmp_path / "photos" / ("cat", "dog")[k % 2] / f"{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(k).save(path)
    return tmp_path / "photos"


def loaders(folder: Path, **options: Any) -> DataLoaders:
    return ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=1, **{"item_tfms": Resize(32), **options})


def block(get_y: Any, target: Any, **options: Any) -> DataBlock:
    return DataBlock(
        (ImageBlock, target),
        get_items=get_image_files,
        get_y=get_y,
        splitter=IndexSplitter([*range(5), *range(20, 25)]),
        item_tfms=Resize(32, method="squish"),
        **options,
    )


def kinds(check: Any) -> list[str]:
    return [finding.kind for finding in check.findings]


def test_sound_loaders_have_no_findings_and_remember_the_check(folder: Path) -> None:
    dls = loaders(folder)
    assert dls.last_check is None
    found = dls.check()
    assert (found.findings, found.sides, found.classes) == (
        [],
        {"train": 24, "valid": 6},
        {"cat": 15, "dog": 15},
    )
    assert dls.last_check is found
    assert found.root == str(folder)


def test_the_folder_alone_is_split_as_the_command_line_does(folder: Path) -> None:
    picture(7).resize((48, 36)).save(folder / "dog" / "again.png")
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=42, item_tfms=Resize(32))
    here, there = dls.check(), check_folder(folder)
    assert kinds(here) == kinds(there)
    assert sorted(here.findings[0].items) == ["dog/07.png", "dog/again.png"]
    sides = [dict(zip(f.items, f.details, strict=True)) for f in (here.findings[0], there.findings[0])]
    assert sides[0] == sides[1]


def test_a_test_folder_without_labels_is_no_fault(folder: Path) -> None:
    for k, file in enumerate(get_image_files(folder)):
        target = folder / ("train", "train", "valid")[k % 3] / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    (folder / "test").mkdir()
    for k in range(5):
        picture(50 + k).save(folder / "test" / f"{k}.png")
    for name in ("cat", "dog"):
        (folder / name).rmdir()
    found = check_folder(folder)
    assert kinds(found) == []
    assert found.sides == {"test": 5, "train": 20, "valid": 10}
    picture(51).resize((60, 45)).save(folder / "train" / "cat" / "leak.png")
    leak = check_folder(folder)["near-across"]
    assert leak.spare == ["train/cat/leak.png"]


def test_python_fixes_work_as_they_stand(folder: Path) -> None:
    picture(7).save(folder / "dog" / "again.bmp")
    (folder / "cat" / "empty.jpg").touch()
    recipe = block(parent_label, CategoryBlock)
    dls = recipe.dataloaders(folder)
    found = dls.check()
    assert {"unreadable"} < set(kinds(found))
    for finding in found.findings:
        assert finding.fix.startswith("get_items=")
        get_items = eval(
            finding.fix.removeprefix("get_items="), {"dls": dls, "get_image_files": get_image_files}
        )
        recipe.get_items = get_items
        assert finding.kind not in kinds(recipe.dataloaders(folder).check())


def test_pictures_that_no_batch_can_be_made_of(folder: Path) -> None:
    picture(99, (64, 64)).save(folder / "dog" / "other.png")
    assert kinds(loaders(folder, item_tfms=None).check()) == ["mixed-sizes"]
    assert kinds(loaders(folder).check()) == []


def test_a_label_in_conflict_and_a_row_twice(folder: Path) -> None:
    files = get_image_files(folder)
    table = pd.DataFrame({"file": [str(f) for f in files], "label": [f.parent.name for f in files]})
    table = pd.concat([table, table.iloc[[10]], table.iloc[[12]].assign(label="dog")], ignore_index=True)
    recipe = DataBlock(
        (ImageBlock, CategoryBlock),
        get_x=ColReader("file"),
        get_y=ColReader("label"),
        splitter=IndexSplitter([*range(5), *range(20, 25)]),
        item_tfms=Resize(32),
    )
    found = recipe.dataloaders(table).check()
    assert set(found["repeated-item"].items) == {files[10].relative_to(folder).as_posix()}
    assert set(found["conflicting-labels"].items) == {files[12].relative_to(folder).as_posix()}
    assert len(found.findings) == 2


def test_groups_by_function_pattern_and_column(folder: Path) -> None:
    files = get_image_files(folder)
    table = pd.DataFrame(
        {"file": files, "label": [f.parent.name for f in files], "who": [k // 4 for k in range(30)]}
    )
    recipe = DataBlock(
        (ImageBlock, CategoryBlock),
        get_x=ColReader("file"),
        get_y=ColReader("label"),
        splitter=IndexSplitter(range(6)),
        item_tfms=Resize(32),
    )
    dls = recipe.dataloaders(table)
    by_column = dls.check(groups="who")["group-across"]  # rows 4 and 5 in validation, 6 and 7 in training
    assert [len(group) for group in by_column.groups] == [4]
    by_function = dls.check(groups=lambda row: row["who"])["group-across"]
    assert by_function.items == by_column.items
    by_pattern = loaders(folder).check(groups=r"/(\d)\d\.png$")["group-across"]
    assert len(by_pattern.groups) == 3
    assert kinds(loaders(folder).check(groups=r"/(\d\d)\.png$")) == []


def test_groups_are_guessed_from_telling_names_only(tmp_path: Path) -> None:
    for k in range(20):
        label = ("sick", "well")[k % 2]
        (tmp_path / label).mkdir(exist_ok=True)
        picture(k).save(tmp_path / label / f"patient{k // 10}_{k:02}.png")
    found = check_folder(tmp_path)
    assert kinds(found) == ["group-guess"]
    assert found.ok
    for path in list(tmp_path.rglob("*.png")):
        path.rename(path.with_name(path.name.replace("patient", "Abyssinian_")))
    assert kinds(check_folder(tmp_path)) == []


@pytest.mark.parametrize("pattern", ["(", "patient"])
def test_a_pattern_must_have_a_group(folder: Path, pattern: str) -> None:
    with pytest.raises(ArgumentError, match=r"group|groups"):
        loaders(folder).check(groups=pattern)


def test_masks_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for k, file in enumerate(get_image_files(folder)):
        Image.fromarray(np.full((72, 96), k % 3, dtype=np.uint8)).save(masks / file.name)
    exif = Image.Exif()
    exif[0x0112] = 6
    names = [file.name for file in get_image_files(folder)]
    (masks / names[6]).unlink()
    Image.fromarray(np.zeros((50, 96), dtype=np.uint8)).save(masks / names[7])
    Image.fromarray(np.full((72, 96), 9, dtype=np.uint8)).save(masks / names[8])
    turned = next(file for file in get_image_files(folder) if file.name == names[9])
    picture(9).save(turned, exif=exif)
    Image.fromarray(np.zeros((36, 48), dtype=np.uint8)).save(masks / names[10])  # half the size: is stretched
    recipe = block(lambda file: masks / file.name, MaskBlock(["a", "b", "c"]))
    found = recipe.dataloaders(folder).check()
    told = {finding.kind: [Path(item).name for item in finding.items] for finding in found.findings}
    assert told == {
        "mask-unreadable": [names[6]],
        "mask-size": [names[7]],
        "mask-codes": [names[8]],
        "mask-turned": [names[9]],
        "turned-by-exif": [names[9]],
    }
    assert "9" in found["mask-codes"].details[0]


def test_boxes_outside_and_empty(folder: Path) -> None:
    boxes = {name.name: [[10, 10, 40, 40]] for name in get_image_files(folder)}
    boxes["02.png"] = [[10, 10, 40, 40], [90, 10, 120, 40]]
    boxes["04.png"] = [[10, 10, 10, 40]]
    boxes["06.png"] = []
    recipe = DataBlock(
        (ImageBlock, BBoxBlock, BBoxLblBlock),
        n_inp=1,
        get_items=get_image_files,
        get_y=[lambda file: boxes[file.name], lambda file: ["thing"] * len(boxes[file.name])],
        splitter=IndexSplitter(range(10, 15)),
        item_tfms=Resize(32),
    )
    found = recipe.dataloaders(folder).check()
    assert dict(zip(found["boxes"].items, found["boxes"].details, strict=True)) == {
        "cat/02.png": "1 outside 96×72",
        "cat/04.png": "1 empty",
    }
    assert len(found.findings) == 1


def test_bands_and_arrays_are_checked_too(tmp_path: Path) -> None:
    for k in range(12):
        bands = np.stack([np.asarray(picture(10 * k + c).convert("L")) for c in range(4)], axis=2)
        np.save(tmp_path / f"{k:02}.npy", bands)
    halved = np.load(tmp_path / "03.npy").reshape(36, 2, 48, 2, 4).mean((1, 3))
    np.save(tmp_path / "12.npy", halved * 0.9)
    (tmp_path / "13.npy").write_bytes(b"\x93NUMPY damaged")
    recipe = DataBlock(
        (ImageBlock(channels=4, value_range=(0, 255)), CategoryBlock),
        get_y=lambda file: str(int(file.stem) % 2),
        splitter=IndexSplitter(range(4, 8)),
        item_tfms=Resize(32),
    )
    found = recipe.dataloaders(sorted(tmp_path.glob("*.npy"))).check()
    assert found["unreadable"].items == ["13.npy"]
    assert set(found["near-conflict"].items) == {"03.npy", "12.npy"}


def test_loaders_without_pictures_are_refused(folder: Path) -> None:
    pairs = [(float(k), k % 2) for k in range(8)]
    with pytest.raises(ArgumentError, match="DataBlock"):
        DataLoaders(DataLoader(pairs), DataLoader(pairs)).check()
    numbers = DataBlock(get_y=lambda item: item, splitter=IndexSplitter([0])).dataloaders([1.0, 2.0, 3.0])
    with pytest.raises(ArgumentError, match="pictures"):
        numbers.check()
