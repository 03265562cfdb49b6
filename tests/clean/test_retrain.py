"""`learn.retrain`: the same recipe on cleaned data, both models scored on the same cleaned items."""

from __future__ import annotations

import json
import shutil
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix
from torch import nn

from wiggly import (
    ArgumentError,
    CategoryBlock,
    CollabDataLoaders,
    ColReader,
    DataBlock,
    DataError,
    ImageBlock,
    ImageDataLoaders,
    IndexSplitter,
    Journal,
    Learner,
    MaskBlock,
    RandomSplitter,
    Resize,
    TabularDataLoaders,
    collab_learner,
    refs_of,
    tabular_learner,
    unet_learner,
    vision_learner,
    wilson_interval,
)
from wiggly.clean.retrain.edited import edited_loaders
from wiggly.clean.retrain.retrained import Retrained
from wiggly.interpret.score import mcnemar_p
from wiggly.train.again import FitCall


@pytest.fixture
def digits(digits_folder: Path, tmp_path: Path) -> Path:
    """Digits 0, 1 and 4; a quarter of the ones lies among the fours."""
    root = tmp_path / "digits"
    for digit in "014":
        shutil.copytree(digits_folder / digit, root / digit)
    for file in sorted((root / "1").iterdir())[::4]:
        file.rename(root / "4" / f"one_{file.name}")
    return root


def journal_of(dls: Any, path: Path) -> Journal:
    """Mends the ones among the fours, deletes one zero of each side."""
    journal = Journal(path, author="Ann")
    for side in refs_of(dls):
        zeros = 0
        for i in range(len(side)):
            ref = side.ref(i)
            if "one_" in ref.path:
                journal.add("relabel", ref, "1")
            elif ref.label == "0" and not zeros:
                zeros = 1
                journal.add("delete", ref)
    return journal


def digits_learner(root: Path, **options: Any) -> Any:
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_folder(
        root, valid_pct=0.3, seed=1, bs=16, item_tfms=Resize(32), num_workers=0, **options
    )
    learn = vision_learner(dls, "test_resnet", pretrained=False)
    learn.show_bar = learn.show_table = False
    return learn


def by_hand(learn: Any, found: Retrained) -> tuple[float, float]:
    """Accuracies of both models, by predicting file after file."""
    rights = []
    sets = found.learn.dls.valid_ds
    for model in (learn, found.learn):
        said = [model.predict(item)[0] for item in sets.items]
        rights.append(float(np.mean([a == b for a, b in zip(said, sets.raw_targets, strict=True)])))
    return rights[0], rights[1]


def test_the_same_recipe_on_cleaned_pictures(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learn = digits_learner(digits)
    learn.fit_one_cycle(4, 5e-3)
    weights = {name: tensor.clone() for name, tensor in learn.model.state_dict().items()}
    journal_of(learn.dls, digits / "edits.jsonl")
    capsys.readouterr()
    found = learn.retrain("edits.jsonl")
    assert (found.edits.deleted, found.edits.relabelled, found.edits.aside) == (2, 8, [])
    sets = found.learn.dls.valid_ds
    assert {file.name for file in sets.items} < {file.name for file in learn.dls.valid_ds.items}
    mended = ["1" if "one_" in file.name else file.parent.name for file in sets.items]
    assert sets.raw_targets == mended and found.n == len(mended)
    before, after = by_hand(learn, found)
    assert (found.before.value, found.after.value) == pytest.approx((before, after))
    right = round(after * found.n)
    assert found.after.interval == wilson_interval(right, found.n)
    z, n = 1.959964, found.n  # Wilson 1927, written out
    middle, half = (after + z * z / (2 * n)), z * sqrt(after * (1 - after) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    assert (found.after.interval.low, found.after.interval.high) == pytest.approx((low, high), abs=1e-6)
    said = [[model.predict(item)[0] for item in sets.items] for model in (learn, found.learn)]
    for row in found.by_class:  # counted by scikit-learn
        tables = [confusion_matrix(mended, each, labels=["0", "1", "4"]) for each in said]
        at = ["0", "1", "4"].index(row.label)
        assert (row.n, row.right_before, row.right_after) == (
            tables[0][at].sum(),
            tables[0][at, at],
            tables[1][at, at],
        )
    assert len(found.now_right) - len(found.now_wrong) == round((after - before) * found.n)
    assert found.p == (mcnemar_p(len(found.now_right), len(found.now_wrong)) if found.flips else None)
    assert sum(row.n for row in found.by_class) == found.n
    assert sum(row.now_right for row in found.by_class) == len(found.now_right)
    assert all(row.right_after - row.right_before == row.now_right - row.now_wrong for row in found.by_class)
    out = capsys.readouterr().out
    assert out.strip() == str(found) and "fit_one_cycle(n_epoch=4, lr_max=0.005)" in out
    assert f"before  {100 * before:.1f} %" in out and f"after   {100 * after:.1f} %" in out
    assert json.loads(json.dumps(found.to_dict()))["n"] == found.n
    for name, tensor in learn.model.state_dict().items():
        assert torch.equal(tensor, weights[name])  # the learner stays as it is


def test_it_is_what_three_lines_give(digits: Path) -> None:
    """Loaders anew with edits=, a learner, the same fit: the same model, weight by weight."""
    learn = digits_learner(digits)
    learn.fit_one_cycle(1, 5e-3)
    journal = journal_of(learn.dls, digits / "edits.jsonl")
    torch.manual_seed(3)
    found = learn.retrain(journal)
    dls = ImageDataLoaders.from_folder(
        digits, valid_pct=0.3, seed=1, bs=16, item_tfms=Resize(32), num_workers=0, edits="edits.jsonl"
    )
    assert dls.train_ds.items == found.learn.dls.train_ds.items
    torch.manual_seed(3)
    again = vision_learner(dls, "test_resnet", pretrained=False)
    with again.no_bar(), again.no_logging():
        again.fit_one_cycle(1, 5e-3)
    theirs = again.model.state_dict()
    assert all(torch.equal(t, theirs[name]) for name, t in found.learn.model.state_dict().items())


def test_a_second_round_goes_by_all_items(digits: Path) -> None:
    """Loaders that had edits already: what was undone since is back, what was learned is not compared."""
    first = digits_learner(digits)
    journal = journal_of(first.dls, digits / "edits.jsonl")
    moved = refs_of(first.dls).train.ref(1)
    learn = digits_learner(digits, edits=journal)
    learn.fit(1)
    deleted = next(edit for edit in journal.active if edit.kind == "delete")
    journal.undo(deleted.id)
    journal.add("move", moved, "valid")
    found = learn.retrain(journal, epochs=1)
    assert found.edits.deleted == 1 and found.edits.moved == 1 and found.edits.aside == []
    n_before = len(learn.dls.train_ds) + len(learn.dls.valid_ds)
    assert len(found.learn.dls.train_ds) + len(found.learn.dls.valid_ds) == n_before + 1
    assert found.left_out == 1 and found.n == len(found.learn.dls.valid_ds) - 1
    assert "not counted: 1 item that was for training before" in str(found)
    assert "fit_one_cycle(n_epoch=1)" in found.recipe


def test_several_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for k in range(60):
        on = rng.integers(0, 2, 2)
        Image.fromarray(
            (rng.integers(0, 60, (24, 24, 3)) + on @ [[180, 0, 0], [0, 0, 180]]).astype(np.uint8)
        ).save(tmp_path / f"{k}.png")
        rows.append((f"{k}.png", " ".join(n for n, there in zip(("red", "blue"), on, strict=True) if there)))
    table = pd.DataFrame(rows, columns=["name", "labels"])
    wrong = table.index[(table.labels == "red blue")][:4]
    table.loc[wrong, "labels"] = "red"
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_df(
        table, tmp_path, label_delim=" ", valid_pct=0.3, seed=0, bs=8, item_tfms=Resize(24), num_workers=0
    )
    learn = vision_learner(dls, "test_resnet", pretrained=False)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(3, 5e-3)
        journal = Journal(tmp_path / "edits.jsonl")
        for side in refs_of(dls):
            for i in range(len(side)):
                if (ref := side.ref(i)).path in {f"{k}.png" for k in wrong}:
                    journal.add("relabel", ref, ["blue", "red"])
        found = learn.retrain(journal)
    assert found.metric == "share of items with all labels right" and found.edits.relabelled == 4
    assert {row.label for row in found.by_class} == {"red", "blue"}
    assert all(row.n == found.n for row in found.by_class)
    assert all(isinstance(flip.label, list) for flip in found.flips)
    assert "95 % intervals" in capsys.readouterr().out


def people(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    age = rng.integers(20, 70, n)
    rich = np.where(age > 45, "yes", "no")
    rich[:40] = np.where(rich[:40] == "yes", "no", "yes")
    return pd.DataFrame(
        {"age": age, "city": rng.choice(["Rome", "Oslo"], n), "hours": rng.random(n), "rich": rich}
    )


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_rows(library: str, tmp_path: Path) -> None:
    table: Any = people()
    if library == "polars":
        table = pytest.importorskip("polars").from_pandas(table)
    dls = TabularDataLoaders.from_df(
        table,
        tmp_path,
        y_names="rich",
        cat_names=["city"],
        cont_names=["age", "hours"],
        seed=0,
        verbose=False,
    )
    torch.manual_seed(0)
    learn = tabular_learner(dls, layers=[20])
    journal = Journal(tmp_path / "edits.jsonl")
    ids = refs_of_table(dls)
    for row in range(40):
        journal.add("relabel", ids.ref(row), "yes" if people().age[row] > 45 else "no")
    journal.add("delete", ids.ref(50))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(20, 2e-2)
        found = learn.retrain("edits.jsonl")
    assert found.edits.relabelled == 40 and found.edits.deleted == 1 and found.metric == "accuracy"
    new = found.learn.dls
    assert len(new.train_ds) + len(new.valid_ds) == 399
    truth = ["yes" if age > 45 else "no" for age in new.table.frame["age"].to_list()]
    assert new.table.frame["rich"].to_list() == truth
    rows = pd.DataFrame(new.table.frame.to_dict(as_series=False)).iloc[new.table.split.valid]
    decoded = [learn.predict(row).decoded for _, row in rows.drop(columns="rich").iterrows()]
    assert found.before.value == pytest.approx(
        np.mean([a == b for a, b in zip(decoded, rows.rich, strict=True)])
    )
    assert found.after.value > 0.9


def refs_of_table(dls: Any) -> Any:
    from wiggly.data.edits.identity import ItemIds
    from wiggly.data.items import TableItems

    return ItemIds(
        TableItems(dls.table.frame.to_native()), labels=dls.table.frame["rich"].to_list().__getitem__
    )


def test_numbers_and_ratings(tmp_path: Path) -> None:
    table = people().assign(rich=lambda t: t.age * 2.0)
    dls = TabularDataLoaders.from_df(
        table,
        tmp_path,
        y_names="rich",
        cont_names=["age", "hours"],
        cat_names=["city"],
        seed=0,
        verbose=False,
    )
    journal = Journal(tmp_path / "edits.jsonl")
    journal.add("relabel", refs_of_table(dls).ref(3), 55.0)
    learn = tabular_learner(dls, layers=[8])
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        found = learn.retrain(journal)
    assert found.metric == "mean absolute error" and found.edits.relabelled == 1
    valid = found.learn.dls
    said, actual = found.learn.get_preds()[:2]
    assert found.after.value == pytest.approx(
        float((said.flatten() - actual.flatten()).abs().mean()), rel=1e-5
    )
    assert (
        found.gain is not None and found.gain.low <= found.after.value - found.before.value <= found.gain.high
    )
    assert len(valid.valid_ds) == found.n

    ratings = pd.DataFrame(
        {"user": [1, 2, 3, 4] * 20, "book": list("abcde") * 16, "stars": [1.0, 3, 5, 2] * 20}
    )
    ratings["when"] = range(80)
    rated = CollabDataLoaders.from_df(ratings, path=tmp_path, seed=0, bs=8, verbose=False)
    other = collab_learner(rated, n_factors=4)
    journal = Journal(tmp_path / "ratings.jsonl")
    journal.add("delete", items_of(ratings).ref(5))
    with other.no_bar(), other.no_logging():
        other.fit(1)
        told = other.retrain("ratings.jsonl")
    assert told.edits.deleted == 1 and told.metric == "mean absolute error"


def items_of(table: Any) -> Any:
    from wiggly.data.edits.identity import ItemIds
    from wiggly.data.items import TableItems

    return ItemIds(TableItems(table))


def test_masks_go_by_the_metric(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(12):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:24, 4 + k : 20 + k] = 1
        Image.fromarray((rng.integers(0, 60, (32, 32, 3)) + 150 * mask[..., None]).astype(np.uint8)).save(
            tmp_path / f"{k}.png"
        )
        Image.fromarray(mask).save(tmp_path / f"{k}.mask.png")
    block = DataBlock(
        (ImageBlock, MaskBlock(["sky", "box"])),
        get_items=lambda folder: sorted(
            p for p in folder.iterdir() if p.suffix == ".png" and "mask" not in p.name
        ),
        get_y=lambda p: p.with_suffix(".mask.png"),
        splitter=RandomSplitter(0.3, seed=0),
        item_tfms=Resize(32),
    )
    dls = block.dataloaders(tmp_path, bs=4, num_workers=0, seed=0)
    learn = unet_learner(dls, "test_resnet", pretrained=False)
    journal = Journal(tmp_path / "edits.jsonl")
    journal.add("delete", refs_of(dls).train.ref(0))
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        found = learn.retrain("edits.jsonl")
    assert found.metric == "pixel_accuracy" and found.edits.deleted == 1
    assert found.before.value == pytest.approx(learn.validate()[1]) and found.before.interval is None


def test_what_it_must_know(digits: Path) -> None:
    learn = digits_learner(digits)
    journal = journal_of(learn.dls, digits / "edits.jsonl")
    with pytest.raises(ArgumentError, match="how long to train"):
        learn.retrain(journal)
    with pytest.raises(ArgumentError, match="`lr` goes with `epochs`"):
        learn.retrain(journal, lr=1e-3)
    bare = Learner(learn.dls, nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)))
    with pytest.raises(ArgumentError, match="how the learner was made"):
        bare.retrain(journal, epochs=1)
    with pytest.raises(DataError, match=r"none of the 1 in .* is about any"):
        learn.retrain(other_journal(digits.parent, "relabel"), epochs=1)
    with pytest.warns(UserWarning, match=r"delete what is not here.*other data"):
        edited_loaders(learn.dls, other_journal(digits.parent, "delete"))
    with bare.no_bar(), bare.no_logging():
        found = bare.retrain(
            journal,
            epochs=1,
            make=lambda dls: Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))),
        )
    assert found.recipe == "fit_one_cycle(n_epoch=1)"
    plain = torch.utils.data.DataLoader([(torch.zeros(2), 0), (torch.ones(2), 1)])
    from wiggly import DataLoaders

    foreign = Learner(DataLoaders(plain, plain), nn.Linear(2, 2), loss_func=nn.CrossEntropyLoss())
    with pytest.raises(ArgumentError, match="known one by one"):
        foreign.retrain(journal, epochs=1, make=lambda dls: foreign)


def other_journal(folder: Path, kind: Any) -> Journal:
    (folder / "elsewhere").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(folder / "elsewhere" / "red.png")
    from wiggly import ItemIds

    journal = Journal(folder / f"{kind}.jsonl")
    label = "1" if kind == "relabel" else None
    journal.add(kind, ItemIds([folder / "elsewhere" / "red.png"]).ref(0), label)
    return journal


def test_weights_stay_with_their_items(digits: Path) -> None:
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        get_items=lambda folder: sorted(folder.rglob("*.png")),
        get_y=lambda p: p.parent.name,
        splitter=RandomSplitter(0.3, seed=0),
        item_tfms=Resize(32),
    )
    n = len(list(digits.rglob("*.png")))
    dls = block.weighted_dataloaders(digits, list(range(1, n + 1)), bs=8, num_workers=0, seed=0)
    journal = Journal(digits / "edits.jsonl")
    gone = refs_of(dls).train.ref(4)
    journal.add("delete", gone)
    made = edited_loaders(dls, journal).dls
    before = dict(zip(dls.train_ds.items, dls.train.weights, strict=True))
    after = dict(zip(made.train_ds.items, made.train.weights, strict=True))
    assert set(before) - set(after) == {digits / gone.path}
    left = 1 - before[digits / gone.path]
    assert all(weight == pytest.approx(before[item] / left) for item, weight in after.items())
    table = people(50)
    rows = TabularDataLoaders.from_df(
        table, digits, y_names="rich", cont_names=["age"], cat_names=["city"], seed=0, verbose=False
    )
    drawn = type(rows).from_table(rows.table, 8, wgts=list(range(1, 51)), seed=0)
    other = Journal(digits / "rows.jsonl")
    other.add("delete", refs_of_table(drawn).ref(rows.table.split.train[0]))
    again = edited_loaders(drawn, other).dls
    assert again.train.weights == pytest.approx(
        [w / (1 - drawn.train.weights[0]) for w in drawn.train.weights[1:]]
    )


def test_fits_are_remembered_once(digits: Path) -> None:
    learn = digits_learner(digits)
    learn.fine_tune(1, freeze_epochs=1, start="probe")
    learn.fit_flat_cos(1, 1e-3)
    with pytest.raises(ArgumentError):
        learn.fit(0)
    assert [call.name for call in learn.fit_calls] == ["fine_tune", "fit_flat_cos"]
    assert str(FitCall("fit", {"n_epoch": 2, "lr": None}, 0)) == "fit(n_epoch=2)"


def test_columns_of_a_table_of_pictures(digits: Path) -> None:
    """Items that are rows of a table that names files."""
    files = sorted(digits.rglob("*.png"))
    table = pd.DataFrame({"name": [str(f) for f in files], "digit": [f.parent.name for f in files]})
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        get_x=ColReader("name"),
        get_y=ColReader("digit"),
        splitter=IndexSplitter(range(0, len(files), 3)),
        item_tfms=Resize(32),
    )
    dls = block.dataloaders(table, path=digits, bs=16, num_workers=0, seed=0)
    learn = vision_learner(dls, "test_resnet", pretrained=False)
    journal_of(dls, digits / "edits.jsonl")
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        found = learn.retrain("edits.jsonl")
    assert (found.edits.deleted, found.edits.relabelled) == (2, 8)
