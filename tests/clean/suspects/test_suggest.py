"""`suggest` on pictures, rows, masks and boxes: planted mistakes are found, and named for what they are."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageFilter
from torch import nn

from wiggly import (
    ArgumentError,
    CategoryBlock,
    ColReader,
    DataBlock,
    ImageBlock,
    ImageDataLoaders,
    IndexSplitter,
    Journal,
    MaskBlock,
    MultiCategoryBlock,
    RandomSplitter,
    RegressionBlock,
    Resize,
    TabularDataLoaders,
    refs_of,
    unet_learner,
    vision_learner,
)
from wiggly.clean.suspects.suggest import suggest
from wiggly.clean.suspects.suspect import KINDS, Suspect, Suspects

LITE0 = "tf_efficientnet_lite0"
BREEDS = ("Abyssinian", "Bengal", "Birman", "pug", "samoyed", "shiba_inu")


def breed(path: str | Path) -> str:
    return re.sub(r"_\d+$", "", Path(path).stem)


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "weights" / f"{LITE0}.in1k_backbone.fp16.safetensors"


@pytest.fixture(scope="module")
def pets(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """16 photos of each of 6 breeds in folders of their breeds, with planted mistakes of every kind."""
    root = tmp_path_factory.mktemp("pets")
    every = sorted((shared / "data" / "pets" / "images").glob("*.jpg"))
    wrong: dict[str, str] = {}
    for name in BREEDS:
        (root / name).mkdir()
    for k, name in enumerate(BREEDS):
        files = [file for file in every if breed(file) == name][:16]
        for j, file in enumerate(files):
            label = BREEDS[(k + 3) % 6] if j == 5 else name
            if label != name:
                wrong[f"{label}/{file.name}"] = name
            shutil.copy(file, root / label / file.name)
    photo = Image.open(root / "pug" / sorted(p.name for p in (root / "pug").glob("pug*"))[0]).convert("RGB")
    photo.resize((photo.width // 2, photo.height // 2)).save(root / "Bengal" / "copy.jpg", quality=60)
    photo.filter(ImageFilter.GaussianBlur(9)).save(root / "pug" / "blurred.jpg")
    photo.point(lambda v: v // 9).save(root / "samoyed" / "dark.png")
    photo.resize((20, 16)).save(root / "samoyed" / "tiny.png")
    photo.resize((900, 60)).save(root / "pug" / "long.jpg")
    Image.new("RGB", (300, 200), "white").save(root / "Birman" / "blank.png")
    (root / "Birman" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    return {"root": root, "wrong": wrong}


@pytest.fixture(scope="module")
def found(pets: dict[str, Any], weights: Path) -> Suspects:
    dls = ImageDataLoaders.from_folder(pets["root"], valid_pct=0.2, seed=2, item_tfms=Resize(128), bs=16)
    return suggest(dls, arch=LITE0, weights=weights)


def items(found: Suspects, kind: str) -> list[str]:
    return [suspect.item for suspect in found.of(kind)]


def test_planted_labels_come_first(found: Suspects, pets: dict[str, Any]) -> None:
    first = found.of("label")[:9]
    hits = [suspect for suspect in first if suspect.item in pets["wrong"]]
    assert len(hits) >= 5
    right = [suspect for suspect in hits if suspect.predicted == pets["wrong"][suspect.item]]
    assert len(right) >= 5
    assert all(suspect.given == Path(suspect.item).parent.name for suspect in hits)
    assert hits[0].evidence["p_predicted"] > hits[0].evidence["p_given"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("unreadable", "Birman/torn.jpg"),
        ("blank", "Birman/blank.png"),
        ("blurred", "pug/blurred.jpg"),
        ("dark", "samoyed/dark.png"),
        ("tiny", "samoyed/tiny.png"),
        ("odd-shaped", "pug/long.jpg"),
    ],
)
def test_poor_pictures_are_named(found: Suspects, kind: str, name: str) -> None:
    assert name in items(found, kind)
    assert len(items(found, kind)) <= 3  # hardly any of the others


def test_copies_with_two_labels(found: Suspects) -> None:
    conflict = next(s for s in found.of("conflict") if "Bengal/copy.jpg" in (s.item, *s.evidence["of"]))
    assert set(conflict.evidence["labels"]) | {conflict.given} >= {"pug", "Bengal"}
    assert conflict.others and conflict.score > 0.9


def test_copies_on_both_sides(pets: dict[str, Any], weights: Path) -> None:
    files = sorted((pets["root"] / "pug").glob("pug_*.jpg")) + sorted((pets["root"] / "Bengal").glob("*.jpg"))
    copy = next(k for k, file in enumerate(files) if file.name == "copy.jpg")
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=list(BREEDS))),
        get_y=lambda file: file.parent.name,
        splitter=IndexSplitter([copy, 3]),
        item_tfms=Resize(64),
    )
    dls = block.dataloaders(files, bs=8, seed=0)
    leak = suggest(dls, arch=LITE0, weights=weights, kinds=["leak"])
    assert [Path(name).name for name in leak[0].evidence["of"]] == ["copy.jpg"]
    assert leak[0].split == "train" and leak[0].others[0][0] == "valid"


def test_ranked_and_within_bounds(found: Suspects) -> None:
    scores = [suspect.score for suspect in found]
    assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)
    assert {s.kind for s in found} <= set(KINDS) and len({(s.kind, s.item) for s in found}) == len(found)
    json.dumps([dict(s.evidence) for s in found])


def test_neither_order_nor_names_of_folders_matter(pets: dict[str, Any], weights: Path) -> None:
    files = sorted(p for p in pets["root"].rglob("*_*.jpg") if p.parent.name in BREEDS[:3])
    names = {name: f"{'zya'[k]}{name}" for k, name in enumerate(BREEDS[:3])}

    def ranked(some: list[Path], label: Any) -> list[str]:
        held = {files[k] for k in range(0, len(files), 5)}
        splitter = IndexSplitter([k for k, file in enumerate(some) if file in held])
        block = DataBlock((ImageBlock, CategoryBlock), get_y=label, splitter=splitter, item_tfms=Resize(64))
        dls = block.dataloaders(some, bs=16, seed=0)
        found = suggest(dls, arch=LITE0, weights=weights, kinds=["label"])
        return [Path(suspect.item).name for suspect in found][:8]

    usual = ranked(files, lambda file: file.parent.name)
    assert usual == ranked(files[::-1], lambda file: names[file.parent.name])


def test_edits_and_ids(found: Suspects, pets: dict[str, Any], tmp_path: Path) -> None:
    label = found.of("label")[:3]
    journal = Journal(tmp_path / "edits.jsonl", author="Ann")
    journal.extend(label.edits("relabel", author="Ann"))
    assert [edit.new for edit in journal.edits] == [suspect.predicted for suspect in label]
    assert [edit.item for edit in journal.edits] == [suspect.id for suspect in label]
    dls = ImageDataLoaders.from_folder(
        pets["root"], valid_pct=0.2, seed=2, item_tfms=Resize(128), edits=journal.path
    )
    assert dls.edits is not None and dls.edits.relabelled == 3
    assert found.of("unreadable")[0].id  # its bytes are there, so it can be deleted
    assert {edit.kind for edit in found.of("unreadable", "dark").edits()} == {"unsure"}


def test_table_picture_and_print(found: Suspects, capsys: pytest.CaptureFixture[str]) -> None:
    table = found.to_pandas(ids=True)
    assert len(table) == len(found) and table.loc[0, "score"] == found[0].score
    assert table["id"].str.startswith("file:").sum() == len(table)
    print(found[:2])
    assert found[0].item[-20:] in capsys.readouterr().out
    found.of("conflict", "label")[:5].show()
    import matplotlib.pyplot as plt

    assert len(plt.gcf().axes) >= 5
    assert str(Suspects([], 3)).startswith("0 suspects among 3 items: nothing found")


def test_a_trained_learner(pets: dict[str, Any], weights: Path) -> None:
    dls = ImageDataLoaders.from_folder(pets["root"], valid_pct=0.2, seed=2, item_tfms=Resize(96), bs=16)
    dls.train.max_bad = dls.valid.max_bad = 0.1
    learn = vision_learner(dls, LITE0, weights=weights, metrics=[])
    with learn.no_bar(), learn.no_logging():
        learn.probe()
    found = suggest(learn, kinds=["label", "loss"])
    assert learn.dls.train.max_bad == 0.1
    pool = found.pool
    assert pool is not None and pool.losses is not None
    probs, targets = learn.get_preds(ds_idx=1)[:2]
    expected = -probs.clamp_min(1e-9).log()[torch.arange(len(targets)), targets]
    rows = [row for row, item in enumerate(pool.seen) if pool.splits[item] == "valid"]
    assert torch.allclose(pool.losses[rows], expected, atol=1e-3)
    assert sum(s.item in pets["wrong"] for s in found.of("label")[:9]) >= 4
    own = suggest(learn, kinds=["loss"]).of("loss")
    worst = max(rows, key=lambda row: float(pool.losses[row]))  # type: ignore[index]
    assert own.of("loss", split="valid")[0].position == pool.positions[pool.seen[worst]]


def test_several_labels(shared: Path, weights: Path) -> None:
    table = pd.read_csv(shared / "data" / "voc2007_sub" / "train.csv")
    table = table[table.labels.str.contains("person|cat|dog|car")].head(140).reset_index(drop=True)
    table["labels"] = [sorted(set(str(x).split()) & {"person", "cat", "dog", "car"}) for x in table.labels]
    planted = [k for k, x in enumerate(table.labels) if x == ["cat"]][:4]
    for k in planted:
        table.at[k, "labels"] = ["car"]
    block = DataBlock(
        blocks=(ImageBlock, MultiCategoryBlock),
        get_x=ColReader("fname", pref=shared / "data" / "voc2007_sub" / "images"),
        get_y=ColReader("labels"),
        splitter=RandomSplitter(0.2, seed=0),
        item_tfms=Resize(128),
    )
    dls = block.dataloaders(table, bs=32, seed=0)
    found = suggest(dls, arch=LITE0, weights=weights, kinds=["label"])
    names = {table.fname[k] for k in planted}
    first = [s for s in found[:20] if Path(s.item).name in names]
    assert len(first) >= 3
    assert first[0].part in ("cat", "car") and first[0].given == ["car"]
    assert ("car" in first[0].predicted) == (first[0].part != "car")


def rows(n: int = 400) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    age, city = draw.uniform(18, 80, n), draw.choice(["Rome", "Oslo", "Bern"], n)
    rich = (age > 45) ^ (city == "Oslo")
    return pd.DataFrame(
        {"age": age.round(1), "city": city, "rich": np.where(rich, "yes", "no"), "wage": age * 100}
    )


def test_rows_of_a_table(tmp_path: Path) -> None:
    table, planted = rows(), [7, 90, 200, 311]
    table.loc[planted, "rich"] = table.loc[planted, "rich"].map({"yes": "no", "no": "yes"})
    dls = TabularDataLoaders.from_df(
        table, y_names="rich", cat_names=["city"], cont_names=["age"], seed=0, verbose=False
    )
    found = suggest(dls)
    assert {f"row {k}" for k in planted} <= {suspect.item for suspect in found[:7]}
    journal = Journal(tmp_path / "edits.jsonl", author="Ann")
    journal.extend(found[:1].edits("relabel"))
    again = TabularDataLoaders.from_df(
        table, y_names="rich", cat_names=["city"], cont_names=["age"], seed=0, verbose=False, edits=journal
    )
    assert again.edits is not None and again.edits.relabelled == 1 and not again.edits.aside


def test_numbers_of_a_table() -> None:
    table = rows()
    table.loc[33, "wage"] = 100.0
    dls = TabularDataLoaders.from_df(
        table[["age", "wage"]], y_names="wage", cat_names=[], cont_names=["age"], seed=0, verbose=False
    )
    found = suggest(dls)
    assert found[0].item == "row 33" and found[0].given == pytest.approx(100, abs=1)
    assert found[0].evidence["expected"] > 1500 and found[0].predicted is None


def test_numbers_of_pictures(tmp_path: Path) -> None:
    draw, table = np.random.default_rng(0), {"file": list[str](), "grey": list[float]()}
    for k in range(60):
        level = int(draw.integers(20, 230))
        Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(tmp_path / f"{k}.png")
        table["file"].append(f"{k}.png")
        table["grey"].append(200.0 - level if k == 12 else float(level))
    block = DataBlock(
        (ImageBlock, RegressionBlock),
        get_x=ColReader("file", pref=tmp_path),
        get_y=ColReader("grey"),
        splitter=RandomSplitter(0.2, seed=0),
    )
    dls = block.dataloaders(pd.DataFrame(table), bs=8, seed=0)
    mean = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
    found = suggest(dls, arch=mean, pretrained=False, kinds=["label"])
    assert Path(found[0].item).name == "12.png"


def test_masks_are_ranked_by_loss(tmp_path: Path) -> None:
    for k in range(10):
        picture = np.zeros((32, 32, 3), np.uint8)
        picture[:, :16] = 250
        mask = (picture[:, :, 0] > 100).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{k}.png")
        Image.fromarray(1 - mask if k == 4 else mask).save(tmp_path / f"{k}_m.png")
    block = DataBlock(
        (ImageBlock, MaskBlock(["left", "right"])),
        get_y=lambda file: file.with_name(f"{file.stem}_m.png"),
        splitter=IndexSplitter([8, 9]),
    )
    dls = block.dataloaders([tmp_path / f"{k}.png" for k in range(10)], bs=2, seed=0)
    learn = unet_learner(dls, "test_resnet", pretrained=False, metrics=[])
    with learn.no_bar(), learn.no_logging():
        learn.fit(3, 3e-3)
    found = suggest(learn, kinds=["loss"])
    assert found and Path(found.of("loss", split="train")[0].item).name == "4.png" and found[0].given is None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda dls: suggest(dls, kinds=["nonsense"]), "nonsense"),
        (lambda dls: suggest(dls, n_folds=1), "n_folds"),
        (lambda dls: suggest([1, 2]), "`suggest` needs"),
    ],
)
def test_bad_input_is_named(call: Any, said: str) -> None:
    dls = TabularDataLoaders.from_df(rows(40), y_names="rich", cont_names=["age"], verbose=False)
    with pytest.raises(ArgumentError, match=said):
        call(dls)


def test_ref_is_that_of_the_loaders(found: Suspects) -> None:
    suspect: Suspect = found.of("label")[0]
    assert found.pool is not None
    sides = refs_of(found.pool.dls)
    side = sides.train if suspect.split == "train" else sides.valid
    assert side.ref(suspect.position) == suspect.ref
