"""Loaders with edits: who leaves, who changes sides, who gets a label, and what is set aside by name."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from tests.data.support import photo_folder

from wiggly import (
    CategoryBlock,
    DataBlock,
    ImageBlock,
    ImageDataLoaders,
    ItemIds,
    Journal,
    MultiCategoryBlock,
    RandomSplitter,
    RegressionBlock,
    Resize,
    SegmentationDataLoaders,
    TabularDataLoaders,
    TransformBlock,
    get_image_files,
    parent_label,
    refs_of,
)
from wiggly.errors import ArgumentError, DataError, LabelError

QUIET: dict[str, Any] = {"bs": 4, "num_workers": 0, "device": "cpu"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return photo_folder(tmp_path / "photos", {"ant": 10, "bee": 10, "cow": 10})


@pytest.fixture
def journal(photos: Path) -> Journal:
    return Journal(photos / "edits.jsonl", author="Ann")


def load(photos: Path, **how: Any) -> Any:
    how = {"valid_pct": 0.3, "seed": 1, "item_tfms": Resize(16), **QUIET, **how}
    return ImageDataLoaders.from_folder(photos, **how)


def ids_of(photos: Path) -> ItemIds:
    files = get_image_files(photos)
    return ItemIds(files, root=photos, labels=lambda i: parent_label(files[i]))


def labels(dls: Any) -> dict[str, Any]:
    """Name of a file to its label, both sides."""
    found: dict[str, Any] = {}
    for loader in dls:
        for item, label in zip(loader.dataset.items, loader.dataset.raw_targets, strict=True):
            found[Path(item[0] if isinstance(item, tuple) else item).name] = label
    return found


def sides(dls: Any) -> dict[str, str]:
    named = zip(("train", "valid"), (dls.train_ds, dls.valid_ds), strict=True)
    return {Path(item).name: side for side, ds in named for item in ds.items}


def test_deleted_leave_relabelled_change_the_rest_stays_on_its_side(photos: Path, journal: Journal) -> None:
    before = load(photos)
    ids = ids_of(photos)
    for i in (0, 5, 17, 29):
        journal.add("delete", ids.ref(i))
    journal.add("relabel", ids.ref(1), "bee")
    journal.add("keep", ids.ref(2))
    journal.add("unsure", ids.ref(3))
    after = load(photos, edits="edits.jsonl")
    gone = {Path(ids.items[i]).name for i in (0, 5, 17, 29)}
    assert sides(after) == {name: side for name, side in sides(before).items() if name not in gone}
    # also the order within a side, in which batches are drawn
    assert [f for f in before.train_ds.items if f.name not in gone] == list(after.train_ds.items)
    assert labels(after) == {
        n: "bee" if n == "ant_1.png" else v for n, v in labels(before).items() if n not in gone
    }
    found = after.edits
    assert (found.deleted, found.relabelled, found.kept, found.unsure, found.applied) == (4, 1, 1, 1, 5)
    assert not found.aside and found.n_edits == 7
    assert after.recipe()["edits"]["deleted"] == 4 and before.recipe()["edits"] is None
    x, y = after.one_batch()
    assert x.shape == (4, 3, 16, 16) and int(y.max()) < 3


def test_the_same_journal_gives_the_same_data(photos: Path, journal: Journal) -> None:
    ids = ids_of(photos)
    for i in range(0, 30, 7):
        journal.add("relabel" if i % 2 else "delete", ids.ref(i), "cow" if i % 2 else None)
    first, second = (load(photos, edits=journal) for _ in range(2))
    assert labels(first) == labels(second) and sides(first) == sides(second)
    journal.undo()
    assert labels(load(photos, edits=journal)) != labels(first)
    journal.redo()
    assert labels(load(photos, edits=journal)) == labels(first)


def test_a_class_relabelled_away_leaves_the_vocabulary_and_a_new_one_comes(
    photos: Path, journal: Journal
) -> None:
    ids = ids_of(photos)
    for i in range(20, 30):
        journal.add("relabel", ids.ref(i), "calf", new_class=True)
    assert load(photos, edits=journal).vocab == ["ant", "bee", "calf"]


def test_a_label_that_no_longer_exists_is_set_aside_by_name(photos: Path, journal: Journal) -> None:
    ids = ids_of(photos)
    journal.add("relabel", ids.ref(0), "wasp")
    journal.add("delete", ids.ref(1))
    with pytest.warns(UserWarning, match=r"ant/ant_0\.png: no item has the label 'wasp'"):
        dls = load(photos, edits=journal)
    assert dls.vocab == ["ant", "bee", "cow"] and labels(dls)["ant_0.png"] == "ant"
    assert [(row.name, row.edit.new) for row in dls.edits.aside] == [("ant/ant_0.png", "wasp")]
    with pytest.warns(UserWarning, match="wasp"):  # a vocabulary that was given decides too
        load(photos, edits=journal, vocab=["ant", "bee", "cow"])
    assert load(photos, edits=journal, vocab=["ant", "bee", "cow", "wasp"]).edits.relabelled == 1


def test_labels_of_deleted_items_still_exist(photos: Path, journal: Journal) -> None:
    ids = ids_of(photos)
    for i in range(20, 30):
        journal.add("delete", ids.ref(i))
    for i in range(10):
        journal.add("relabel", ids.ref(i), "cow")
    assert load(photos, edits=journal).vocab == ["bee", "cow"]


def test_a_renamed_file_keeps_its_edits_and_a_changed_one_is_named(photos: Path, journal: Journal) -> None:
    ids = ids_of(photos)
    journal.add("delete", ids.ref(0))
    journal.add("relabel", ids.ref(1), "bee")
    journal.add("relabel", ids.ref(2), "bee")
    (photos / "ant" / "ant_0.png").rename(photos / "bee" / "renamed.png")
    (photos / "ant" / "ant_1.png").rename(photos / "cow" / "again.png")
    (photos / "ant" / "ant_2.png").unlink()
    with pytest.warns(UserWarning, match=r"ant/ant_2\.png: no item has this content"):
        dls = load(photos, edits=journal)
    assert "renamed.png" not in labels(dls) and labels(dls)["again.png"] == "bee"
    assert dls.edits.deleted == 1 and len(dls.edits.aside) == 1


def test_deletions_that_were_carried_out_are_no_fault(photos: Path, journal: Journal) -> None:
    journal.add("delete", ids_of(photos).ref(0))
    (photos / "ant" / "ant_0.png").unlink()
    dls = load(photos, edits=journal)
    assert (dls.edits.deleted, dls.edits.gone, dls.edits.aside) == (0, 1, [])


def test_a_journal_of_other_data_is_named(photos: Path, tmp_path: Path) -> None:
    other = photo_folder(tmp_path / "other", {"dog": 3, "elk": 4})
    for file in get_image_files(other):
        Image.new("RGB", (9, 9)).save(file)
    journal = Journal(tmp_path / "other.jsonl")
    journal.add("relabel", ids_of(other).ref(0), "elk")
    with pytest.raises(DataError, match=r"none of the 1 in '.*other\.jsonl'.*'dog/dog_0\.png'"):
        load(photos, edits=tmp_path / "other.jsonl")


def test_damaged_rows_are_named_and_the_others_apply(photos: Path, journal: Journal) -> None:
    journal.add("delete", ids_of(photos).ref(0))
    with journal.path.open("a") as file:
        file.write("{torn")
    with pytest.warns(UserWarning, match=r"edits\.jsonl line 2: it is cut off"):
        dls = load(photos, edits=journal)
    assert dls.edits.deleted == 1


def test_a_missing_journal_is_an_error_and_an_empty_one_is_not(photos: Path, journal: Journal) -> None:
    with pytest.raises(DataError, match="existing journal"):
        load(photos, edits="edits.jsonl")
    assert str(load(photos, edits=journal).edits).startswith("nothing to change")


def test_copies_with_two_labels_are_told_apart(photos: Path, journal: Journal) -> None:
    """The commonest find of all: one picture in two classes."""
    for name in ("ant/twin.png", "bee/twin.png", "cow/third.png"):
        shutil.copy(photos / "ant" / "ant_0.png", photos / name)
    ids = ids_of(photos)
    where = {ids.name(i): i for i in range(len(ids))}
    assert ids.ref(where["bee/twin.png"]).copies == 4
    journal.add("delete", ids.ref(where["bee/twin.png"]))
    journal.add("relabel", ids.ref(where["cow/third.png"]), "ant")
    dls = load(photos, edits=journal)
    left = Counter(Path(f).parent.name + "/" + Path(f).name for ds in dls for f in ds.dataset.items)
    assert left["ant/twin.png"] == 1 and left["bee/twin.png"] == 0 and labels(dls)["third.png"] == "ant"
    # The one that was deleted is gone from the disk: the others must not be deleted in its place.
    (photos / "bee" / "twin.png").unlink()
    again = load(photos, edits=journal)
    assert again.edits.deleted == 0 and again.edits.gone == 1 and "ant_0.png" in labels(again)


def test_a_copy_that_came_later_does_not_take_the_edits(photos: Path, journal: Journal) -> None:
    journal.add("delete", ids_of(photos).ref(0))
    shutil.copy(photos / "ant" / "ant_0.png", photos / "cow" / "new.png")
    dls = load(photos, edits=journal)
    assert "new.png" in labels(dls) and "ant_0.png" not in labels(dls)
    (photos / "ant" / "ant_0.png").rename(photos / "bee" / "other.png")  # now neither is at the path
    with pytest.warns(UserWarning, match="which of 2 copies"):
        assert load(photos, edits=journal).edits.deleted == 0


def test_moves_to_the_other_side(photos: Path, journal: Journal) -> None:
    before = load(photos)
    ids = refs_of(before).train
    journal.add("move", ids.ref(0), "valid", old="train")
    journal.add("move", ids.ref(1), "train", old="train")  # where it is
    after = load(photos, edits=journal)
    name = before.train_ds.items[0].name
    assert sides(after) == {**sides(before), name: "valid"} and after.edits.moved == 1


def test_a_copy_on_the_other_side_is_counted(photos: Path, journal: Journal) -> None:
    """A leak: one of the two goes, and later, when its file is gone, the other must not go in its place."""
    before = load(photos)
    copied = before.train_ds.items[0]
    (photos / "bee" / "leak.png").write_bytes(copied.read_bytes())
    dls = load(photos)
    sides_ids = refs_of(dls)
    place = list(dls.train_ds.items).index(copied) if copied in dls.train_ds.items else None
    ref = (
        sides_ids.train.ref(place)
        if place is not None
        else sides_ids.valid.ref(dls.valid_ds.items.index(copied))
    )
    assert (
        ref.copies == 2
        and ref.path == copied.relative_to(photos).as_posix()
        and ref.label == copied.parent.name
    )
    journal.add("delete", ref)
    copied.unlink()
    assert load(photos, edits=journal).edits.deleted == 0


def test_edits_that_leave_nothing_are_refused(photos: Path, journal: Journal) -> None:
    before = load(photos)
    ids = refs_of(before).valid
    for i in range(len(ids)):
        journal.add("delete", ids.ref(i))
    with pytest.raises(DataError, match="at least 1 item for validation"):
        load(photos, edits=journal)


# Every constructor


def test_every_constructor_of_pictures(photos: Path, journal: Journal) -> None:
    ids = ids_of(photos)
    journal.add("delete", ids.ref(0))
    journal.add("relabel", ids.ref(1), "bee")
    files = get_image_files(photos)
    names = [f.relative_to(photos).as_posix() for f in files]
    table = pd.DataFrame({"file": names, "label": [parent_label(f) for f in files]})
    table.to_csv(photos / "labels.csv", index=False)
    how: dict[str, Any] = {
        "valid_pct": 0.3,
        "seed": 1,
        "item_tfms": Resize(16),
        **QUIET,
        "edits": "edits.jsonl",
    }
    made = [
        ImageDataLoaders.from_folder(photos, **how),
        ImageDataLoaders.from_path_func(photos, files, parent_label, **how),
        ImageDataLoaders.from_name_func(photos, files, lambda name: name.split("_")[0], **how),
        ImageDataLoaders.from_path_re(photos, files, r"/([a-z]+)_\d+\.png$", **how),
        ImageDataLoaders.from_name_re(photos, files, r"^([a-z]+)_", **how),
        ImageDataLoaders.from_df(table, photos, **how),
        ImageDataLoaders.from_df(pl.DataFrame(table.to_dict("list")), photos, **how),
        ImageDataLoaders.from_csv(photos, **how),
        ImageDataLoaders.from_lists(photos, files, [parent_label(f) for f in files], **how),
    ]
    for dls in made:
        assert (dls.edits.deleted, dls.edits.relabelled, dls.edits.aside) == (1, 1, [])
        assert len(dls.train_ds) + len(dls.valid_ds) == 29
        counts = Counter(dls.train_ds.raw_targets) + Counter(dls.valid_ds.raw_targets)
        assert counts == {"ant": 8, "bee": 11, "cow": 10}
        assert dls.one_batch()[0].shape == (4, 3, 16, 16)
    assert "edits='edits.jsonl'" in made[0].recipe()["call"]


def test_masks_can_be_left_out(tmp_path: Path) -> None:
    photos = photo_folder(tmp_path / "photos", {"a": 6})
    files, masks = get_image_files(photos), tmp_path / "masks"
    masks.mkdir()
    for file in files:
        with Image.open(file) as photo:
            Image.new("L", photo.size).save(masks / file.name)
    journal = Journal(photos / "edits.jsonl")
    journal.add("delete", ItemIds(files).ref(2))
    dls = SegmentationDataLoaders.from_label_func(
        photos,
        files,
        lambda f: masks / f.name,
        codes=["x", "y"],
        seed=1,
        edits=journal,
        item_tfms=Resize(16),
        **QUIET,
    )
    assert dls.edits is not None and dls.edits.deleted == 1 and len(dls.train_ds) + len(dls.valid_ds) == 5


def test_several_labels(photos: Path, journal: Journal) -> None:
    files = get_image_files(photos)
    tags = [[parent_label(f), "new"] if i % 2 else [parent_label(f)] for i, f in enumerate(files)]
    journal.add("relabel", ids_of(photos).ref(0), ["ant", "new"])
    journal.add("relabel", ids_of(photos).ref(1), [])
    journal.add("relabel", ids_of(photos).ref(2), "ant")
    journal.add("relabel", ids_of(photos).ref(3), ["ant", "old"])
    with pytest.warns(UserWarning, match="set aside") as said:
        dls = ImageDataLoaders.from_lists(
            photos, files, tags, seed=1, edits=journal, item_tfms=Resize(16), **QUIET
        )
    found = labels(dls)
    assert [found[f"ant_{i}.png"] for i in range(4)] == [["ant", "new"], [], ["ant"], ["ant", "new"]]
    assert "takes a list of labels" in str(said[0].message) and "label 'old'" in str(said[0].message)
    hot = DataBlock(
        (ImageBlock, MultiCategoryBlock(encoded=True, vocab=["ant", "new"])),
        get_y=lambda f: [1, 0],
        splitter=RandomSplitter(0.3, seed=1),
        edits=journal,
    )
    with pytest.warns(UserWarning, match="set aside"):
        sets = hot.datasets(files)
    raws = {Path(f).name: r for s in sets for f, r in zip(s.items, s.raw_targets, strict=True)}
    assert raws["ant_0.png"] == [1, 1] and raws["ant_1.png"] == [0, 0] and raws["bee_1.png"] == [1, 0]


def test_numbers_to_predict(photos: Path, journal: Journal) -> None:
    files = get_image_files(photos)
    journal.add("relabel", ids_of(photos).ref(0), 2.5)
    journal.add("relabel", ids_of(photos).ref(1), "much")
    block = DataBlock(
        (ImageBlock, RegressionBlock),
        get_y=lambda f: 1.0,
        splitter=RandomSplitter(0.3, seed=1),
        edits=journal,
    )
    with pytest.warns(UserWarning, match="cannot be its label"):
        sets = block.datasets(files)
    raws = {Path(f).name: r for s in sets for f, r in zip(s.items, s.raw_targets, strict=True)}
    assert (raws["ant_0.png"], raws["ant_1.png"]) == (2.5, 1.0)


def test_a_block_of_ones_own_gets_its_label_too(photos: Path, journal: Journal) -> None:
    journal.add("relabel", ids_of(photos).ref(0), 7)
    block = DataBlock(
        (ImageBlock, TransformBlock), get_y=lambda f: 1, splitter=RandomSplitter(0.3, seed=1), edits=journal
    )
    sets = block.datasets(get_image_files(photos))
    assert sorted(int(sample[1]) for s in sets for sample in s)[-2:] == [1, 7]


def test_two_targets_cannot_be_relabelled_but_left_out(photos: Path, journal: Journal) -> None:
    journal.add("relabel", ids_of(photos).ref(0), "bee")
    journal.add("delete", ids_of(photos).ref(1))
    block = DataBlock(
        (ImageBlock, CategoryBlock, CategoryBlock),
        n_inp=1,
        get_y=[parent_label, parent_label],
        splitter=RandomSplitter(0.3, seed=1),
        edits=journal,
    )
    with pytest.warns(UserWarning, match="2 targets"):
        dls = block.dataloaders(get_image_files(photos), **QUIET)
    assert dls.edits is not None and (dls.edits.deleted, len(dls.edits.aside)) == (1, 1)


def test_recipes_keep_their_journal(
    photos: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.add("delete", ids_of(photos).ref(0))
    block = DataBlock(
        (ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label, edits="edits.jsonl"
    )
    for one in (block, block.new(item_tfms=Resize(16))):
        sets = one.datasets(photos)
        assert len(sets.train) + len(sets.valid) == 29
    block.new(item_tfms=Resize(16)).summary(photos)
    assert "1 deleted" in capsys.readouterr().out
    weighted = block.new(item_tfms=Resize(16)).weighted_dataloaders(photos, wgts=[1.0] * 30, **QUIET)
    assert weighted.edits is not None and weighted.edits.deleted == 1


def test_columns_and_values(tmp_path: Path) -> None:
    xs, ys = [1, 2, 3, 4, 5], ["a", "b", "a", "b", "a"]
    rows = list(zip(xs, ys, strict=True))
    journal = Journal(tmp_path / "edits.jsonl")
    journal.add("relabel", ItemIds(rows).ref(1), "a")
    journal.add("delete", ItemIds(rows).ref(4))
    block = DataBlock.from_columns(
        (TransformBlock, CategoryBlock), splitter=lambda items: ([0, 1, 3, 4], [2]), edits=journal
    )
    sets = block.datasets((xs, ys))
    assert sets.train.raw_targets == ["a", "a", "b"] and sets.items == rows


def test_shards_say_that_they_cannot(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from wiggly import ParquetSource

    pq.write_table(pa.table({"x": [1, 2], "y": ["a", "b"]}), tmp_path / "a.parquet")
    block = DataBlock(
        (TransformBlock, CategoryBlock), get_y=lambda r: r["y"], edits=Journal(tmp_path / "e.jsonl")
    )
    with pytest.raises(ArgumentError, match="rows of shards"):
        block.datasets(ParquetSource(str(tmp_path / "a.parquet")))


# Tables


@pytest.fixture
def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "city": ["Rome", "Oslo"] * 20,
            "age": np.arange(40) // 2 * 2.0,
            "sold": ["yes", "no", "no", "yes"] * 10,
        }
    )


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "categories"])
def test_rows_of_a_table(people: pd.DataFrame, tmp_path: Path, library: str) -> None:
    from wiggly.data.table import TableItems

    journal = Journal(tmp_path / "edits.jsonl")
    ids = ItemIds(TableItems(people), labels=people["sold"].tolist().__getitem__)
    for i in (3, 8):
        journal.add("delete", ids.ref(i))
    journal.add("relabel", ids.ref(5), "yes")
    journal.add("relabel", ids.ref(6), "perhaps")
    table: Any = {
        "pandas": people,
        "polars": pl.DataFrame(people.to_dict("list")),
        "pyarrow": pl.DataFrame(people.to_dict("list")).to_arrow(),
        "categories": people.astype({"sold": "category", "city": "category"}),
    }[library]
    how: dict[str, Any] = {"y_names": "sold", "bs": 8, "seed": 3, "verbose": False}
    before = TabularDataLoaders.from_df(table, tmp_path, **how)
    with pytest.warns(UserWarning, match="row 6: no item has the label 'perhaps'"):
        after = TabularDataLoaders.from_df(table, tmp_path, edits="edits.jsonl", **how)
    assert after.edits is not None and (after.edits.deleted, after.edits.relabelled) == (2, 1)
    place = {row: k for k, row in enumerate(i for i in range(40) if i not in (3, 8))}
    for old, new in zip(before.table.split, after.table.split, strict=True):
        assert [place[i] for i in old if i not in (3, 8)] == list(new)
    assert after.table.decode()["sold"].tolist().count("yes") == people["sold"].tolist().count("yes") - 2 + 1
    assert people["sold"].tolist() == ["yes", "no", "no", "yes"] * 10  # the user's table stays


def test_equal_rows_are_left_out_one_by_one(people: pd.DataFrame, tmp_path: Path) -> None:
    from wiggly.data.table import TableItems

    table = pd.concat([people, people.iloc[[4, 4]]], ignore_index=True)
    journal = Journal(tmp_path / "edits.jsonl")
    ids = ItemIds(TableItems(table))
    assert [ids.ref(i).copies for i in (4, 40, 41, 5)] == [3, 3, 3, 1]

    def n_rows(given: pd.DataFrame) -> int:
        how: dict[str, Any] = {"y_names": "sold", "bs": 8, "verbose": False}
        dls = TabularDataLoaders.from_df(given, tmp_path, edits=journal, **how)
        return len(dls.train_ds) + len(dls.valid_ds)

    shuffled = table.sample(frac=1, random_state=0)
    for n, row in enumerate((40, 4)):
        journal.add("delete", ids.ref(row))
        journal.add("delete", ids.ref(row))  # twice the same row is one row
        assert n_rows(table) == n_rows(shuffled) == 41 - n
        # Carried out already: none of the equal rows that are left goes in its place.
        assert n_rows(table.drop([4, 40][: n + 1])) == 41 - n == n_rows(shuffled.drop([4, 41][: n + 1]))


def test_a_new_class_that_was_looked_at_again_stays(photos: Path, journal: Journal) -> None:
    ids = ids_of(photos)
    for i in range(6):
        journal.add("relabel", ids.ref(i), "wasp", new_class=True)
        journal.add("keep", ids.ref(i), old="wasp")
    assert "wasp" in load(photos, edits=journal).vocab


def test_labels_of_odd_shape_are_set_aside(photos: Path, journal: Journal) -> None:
    ids = ids_of(photos)
    journal.add("relabel", ids.ref(0), [["bee"]])
    journal.add("delete", ids.ref(1))
    with pytest.warns(UserWarning, match="takes one label"):
        load(photos, edits=journal)
    block = DataBlock(
        (ImageBlock, MultiCategoryBlock),
        get_y=lambda f: (parent_label(f),),
        splitter=RandomSplitter(0.3, seed=1),
        edits=journal,
    )
    with pytest.warns(UserWarning, match="no list of single labels"):
        block.datasets(get_image_files(photos))


def test_targets_that_are_arrays(photos: Path, journal: Journal) -> None:
    files, vocab = get_image_files(photos), ["ant", "bee"]
    journal.add("relabel", ids_of(photos).ref(0), ["bee"])
    journal.add("relabel", ids_of(photos).ref(1), ["ant"])
    block = DataBlock(
        (ImageBlock, MultiCategoryBlock(encoded=True, vocab=vocab)),
        get_y=lambda f: np.array([1.0, 0.0]),
        splitter=RandomSplitter(0.3, seed=1),
        edits=journal,
    )
    sets = block.datasets(files)
    raws = {Path(f).name: list(r) for s in sets for f, r in zip(s.items, s.raw_targets, strict=True)}
    assert raws["ant_0.png"] == [0, 1] and raws["ant_1.png"] == [1, 0]


def test_a_csv_file_and_numbers(people: pd.DataFrame, tmp_path: Path) -> None:
    from wiggly.data.table import TableItems

    people["sold"] = np.arange(40)
    people.to_csv(tmp_path / "people.csv", index=False)
    journal = Journal(tmp_path / "edits.jsonl")
    ids = ItemIds(TableItems(pd.read_csv(tmp_path / "people.csv")))
    journal.add("relabel", ids.ref(7), 99.5)
    dls = TabularDataLoaders.from_csv(
        tmp_path / "people.csv", y_names="sold", edits="edits.jsonl", bs=8, seed=1, verbose=False
    )
    values = dls.table.decode()["sold"].tolist()
    assert dls.edits is not None and dls.edits.relabelled == 1 and 99.5 in values and 7 not in values


# Real photos


def test_hymenoptera(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "hymenoptera"
    files = get_image_files(folder)
    journal = Journal(tmp_path / "edits.jsonl", author="Ann")
    ids = ItemIds(files, root=folder, labels=lambda i: parent_label(files[i]))
    chosen = [i for i, f in enumerate(files) if f.parent.name == "ants"][:6]
    for i in chosen[:3]:
        journal.add("delete", ids.ref(i), reason="no ant on it")
    for i in chosen[3:]:
        journal.add("relabel", ids.ref(i), "bees")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before, after = (
            ImageDataLoaders.from_folder(folder, valid="val", item_tfms=Resize(32), edits=edits, **QUIET)
            for edits in (None, journal)
        )
    assert len(after.train_ds) + len(after.valid_ds) == len(files) - 3
    assert {n for n, v in labels(after).items() if labels(before)[n] != v} == {
        files[i].name for i in chosen[3:]
    }


def test_pets_as_a_table(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "pets"
    table = pd.read_csv(folder / "index.csv").head(300)
    files = [folder / "images" / name for name in table["fname"]]
    journal = Journal(tmp_path / "edits.jsonl")
    ids = ItemIds(files, root=folder)
    journal.add("delete", ids.ref(4))
    journal.add("relabel", ids.ref(5), table["breed"].iloc[-1])
    how: dict[str, Any] = {
        "fn_col": "fname",
        "label_col": "breed",
        "folder": "images",
        "item_tfms": Resize(32),
    }
    dls = ImageDataLoaders.from_df(table, folder, seed=2, edits=journal, **how, **QUIET)
    assert dls.edits is not None and (dls.edits.deleted, dls.edits.relabelled) == (1, 1)
    with pytest.raises(LabelError):  # the table itself has a label that edits cannot mend
        ImageDataLoaders.from_df(table.assign(breed=None), folder, edits=journal, **how, **QUIET)


def test_parquet_files_that_are_streamed(people: pd.DataFrame, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from wiggly.data.table import TableItems

    pq.write_table(pa.Table.from_pandas(people), tmp_path / "rows.parquet", row_group_size=7)
    journal = Journal(tmp_path / "edits.jsonl")
    ids = ItemIds(TableItems(people), labels=people["sold"].tolist().__getitem__)
    how: dict[str, Any] = {"y_names": "sold", "bs": 5, "seed": 3, "shuffle": False, "verbose": False}
    before = TabularDataLoaders.from_parquet(tmp_path / "rows.parquet", **how)
    drawn = [_streamed(side) for side in before]
    journal.add("delete", ids.ref(3))
    journal.add("relabel", ids.ref(5), "yes")
    moved = drawn[1][0]
    journal.add("move", ids.ref(moved), "train", old="valid")
    journal.add("relabel", ids.ref(6), "perhaps")
    with pytest.warns(UserWarning, match="row 6: no item has the label 'perhaps'"):
        after = TabularDataLoaders.from_parquet(tmp_path / "rows.parquet", edits="edits.jsonl", **how)
    assert _streamed(after.train) == sorted({*drawn[0], moved} - {3})
    assert _streamed(after.valid) == sorted({*drawn[1]} - {moved, 3})
    assert after.edits is not None
    assert (after.edits.deleted, after.edits.relabelled, after.edits.moved) == (1, 1, 1)
    labels: dict[int, str] = {}
    for loader in after:
        for batch in loader.batches() if hasattr(loader, "batches") else loader:
            labels.update(zip(batch.positions, (after.vocab[int(y)] for y in batch.targets[0]), strict=True))
    expected = {i: label for i, label in enumerate(people["sold"]) if i != 3}
    assert labels == {**expected, 5: "yes"}


def _streamed(loader: Any) -> list[int]:
    """Positions of the rows of a side, among all rows of all files."""
    return loader.dataset.positions(range(len(loader.dataset.groups.groups))).tolist()


def test_ratings(tmp_path: Path) -> None:
    from wiggly import CollabDataLoaders
    from wiggly.data.table import TableItems

    table = pd.DataFrame({"user": [1, 1, 2, 2, 3] * 4, "book": list("abacb") * 4, "stars": range(20)})
    journal, ids = Journal(tmp_path / "edits.jsonl"), ItemIds(TableItems(table))
    journal.add("delete", ids.ref(0))
    journal.add("relabel", ids.ref(1), 4.5)
    table.to_csv(tmp_path / "ratings.csv", index=False)
    dls = CollabDataLoaders.from_csv(
        tmp_path / "ratings.csv", edits="edits.jsonl", seed=0, bs=4, verbose=False
    )
    assert dls.edits is not None and (dls.edits.deleted, dls.edits.relabelled) == (1, 1)
    assert sorted(dls.table.decode()["stars"].tolist()) == sorted([4.5, *range(2, 20)])
