"""A cleaned copy: every file under its new label, nothing overwritten, the data only read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.clean.support import contents, edited_folder, ids_of
from tests.data.support import photo_folder

from wiggly import ImageDataLoaders, ItemIds, Journal, clean_copy, get_image_files
from wiggly.errors import ArgumentError, DataError, StorageError


def test_folders_are_labels(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    edited_folder(data)
    (data / "README.txt").write_text("about")
    before = contents(data, hidden=True)
    report = clean_copy(data, copy)
    assert contents(data, hidden=True) == before
    expected = {name: h for name, h in before.items() if name not in ("ant/ant_0.png", "edits.jsonl")}
    expected["bee/ant_1.png"] = expected.pop("ant/ant_1.png")
    assert contents(copy, hidden=True) == expected
    assert (report.deleted, report.relabelled, report.kept, report.files) == (1, 1, 1, len(expected))
    assert not report.aside and sorted(tmp_path.iterdir()) == [copy, data]


def test_a_copy_trains_like_the_data_with_its_edits(tmp_path: Path) -> None:
    journal = edited_folder(tmp_path / "data")
    clean_copy(tmp_path / "data", tmp_path / "copy")
    how: dict[str, Any] = {"valid_pct": 0.3, "seed": 1, "num_workers": 0, "device": "cpu"}
    sides = [
        ImageDataLoaders.from_folder(tmp_path / "data", edits=journal, **how),
        ImageDataLoaders.from_folder(tmp_path / "copy", **how),
    ]
    found = [sorted((f.name, y) for ds in dls for f, y in _pairs(ds.dataset)) for dls in sides]
    assert found[0] == found[1]


def _pairs(dataset: Any) -> Any:
    return zip(dataset.items, dataset.raw_targets, strict=True)


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    data = photo_folder(tmp_path / "data", {"ant": 2, "bee": 2})
    for file in get_image_files(data):
        file.rename(file.with_name(file.name.replace("ant", "x").replace("bee", "x")))
    journal, ids = Journal(data / "edits.jsonl"), ids_of(data)
    journal.add("relabel", ids.ref(0), "bee")
    report = clean_copy(data, tmp_path / "copy")
    assert report.files == 4
    assert sorted(contents(tmp_path / "copy")) == [
        "ant/x_1.png",
        "bee/x_0.png",
        "bee/x_0_2.png",
        "bee/x_1.png",
    ]
    assert contents(tmp_path / "copy")["bee/x_0_2.png"] == contents(data)["ant/x_0.png"]


def test_moves_between_train_and_valid(tmp_path: Path) -> None:
    data = photo_folder(tmp_path / "data", {"train/ant": 3, "train/bee": 3, "val/ant": 2, "val/bee": 2})
    journal, ids = Journal(data / "edits.jsonl"), ids_of(data)
    journal.add("move", ids.ref(0), "valid", old="train")
    journal.add("relabel", ids.ref(0), "bee")
    journal.add("move", ids.ref(6), "train", old="valid")
    report = clean_copy(data, tmp_path / "copy")
    names = contents(tmp_path / "copy")
    assert names["val/bee/ant_0.png"] == contents(data)["train/ant/ant_0.png"]
    assert len([n for n in names if n.startswith("train/")]) == 6 and report.moved == 2
    flat = tmp_path / "flat"
    edited_folder(flat)
    Journal(flat / "edits.jsonl").add("move", ids_of(flat).ref(3), "valid")
    assert "no sides" in str(clean_copy(flat, tmp_path / "flat copy").aside[0])


@pytest.mark.parametrize(
    "label", ["../../outside", "/etc", "a/b", "..", ".hidden", "", " ", "a\\b", "a\0b", "c:d"]
)
def test_a_label_cannot_lead_out_of_the_folder(tmp_path: Path, label: str) -> None:
    data = photo_folder(tmp_path / "data", {"ant": 2, "bee": 2})
    journal = Journal(data / "edits.jsonl")
    journal.add("relabel", ids_of(data).ref(0), label, new_class=True)
    report = clean_copy(data, tmp_path / "copy")
    assert contents(tmp_path / "copy") == {k: v for k, v in contents(data).items() if k != "edits.jsonl"}
    assert "cannot be the name of a folder" in str(report.aside[0]) and report.relabelled == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "data"]


def test_what_cannot_be_applied_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    journal, ids = edited_folder(data), ids_of(data)
    journal.add("relabel", ids.ref(3), "wasp")
    journal.add("relabel", ids.ref(4), "ant")
    (data / "bee" / "bee_0.png").unlink()
    with journal.path.open("a") as file:
        file.write("[]\n")
    report = clean_copy(data, tmp_path / "copy")
    said = "\n".join(map(str, report.aside))
    assert "line 6: it is no JSON object" in said and "'wasp' (any more)" in said and "bee/bee_0.png" in said
    assert len(report.aside) == 3 and "set aside: " in str(report)


@pytest.mark.parametrize("where", ["data/copy", "data", ".", "file.txt", "full", "no/where"])
def test_a_place_that_would_lose_something_is_refused(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    edited_folder(Path("data"))
    Path("file.txt").write_text("precious")
    Path("full").mkdir()
    Path("full/note.txt").write_text("precious")
    before = contents(tmp_path, hidden=True)
    with pytest.raises((ArgumentError, StorageError)):
        clean_copy("data", where)
    assert contents(tmp_path, hidden=True) == before


def test_an_empty_folder_is_a_place(tmp_path: Path) -> None:
    edited_folder(tmp_path / "data")
    (tmp_path / "copy").mkdir()
    assert clean_copy(tmp_path / "data", tmp_path / "copy").files == 7


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited_folder(tmp_path / "data")
    copied: list[Any] = []
    copy2 = shutil.copy2

    def full(source: Any, target: Any) -> None:
        copied.append(copy2(source, target))
        if len(copied) == 4:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(StorageError, match="No space left"):
        clean_copy(tmp_path / "data", tmp_path / "copy")
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def table_folder(tmp_path: Path, text: str) -> tuple[Path, Journal, ItemIds]:
    data = photo_folder(tmp_path / "data", {"images": 4})
    (data / "labels.csv").write_text(text)
    files = get_image_files(data)
    return data, Journal(data / "edits.jsonl"), ItemIds(files, root=data)


def test_a_table_of_labels_is_written_anew(tmp_path: Path) -> None:
    rows = "".join(f'images/images_{n}.png,{"ab"[n % 2]},00{n}," x, y"\n' for n in range(4))
    data, journal, ids = table_folder(tmp_path, f"file,label,code,note\n{rows}")
    journal.add("delete", ids.ref(0))
    journal.add("relabel", ids.ref(1), "a")
    report = clean_copy(data, tmp_path / "copy", label_csv=data / "labels.csv")
    expected = 'file,label,code,note\nimages/images_1.png,a,001," x, y"\n'
    expected += 'images/images_2.png,a,002," x, y"\nimages/images_3.png,b,003," x, y"\n'
    assert (tmp_path / "copy" / "labels.csv").read_text() == expected  # every other cell as it was
    assert sorted(contents(tmp_path / "copy")) == [
        "images/images_1.png",
        "images/images_2.png",
        "images/images_3.png",
        "labels.csv",
    ]
    assert report.table.endswith("labels.csv") and (report.deleted, report.relabelled) == (1, 1)
    dls = ImageDataLoaders.from_csv(tmp_path / "copy", seed=1, num_workers=0, device="cpu", valid_pct=0.4)
    assert len(dls.train_ds) + len(dls.valid_ds) == 3


def test_several_labels_in_a_table(tmp_path: Path) -> None:
    rows = "".join(f"images/images_{n}.png,{t}\n" for n, t in enumerate(["a;b", "a", "b", ""]))
    data, journal, ids = table_folder(tmp_path, f"file,tags\n{rows}")
    journal.add("relabel", ids.ref(0), ["b"])
    journal.add("relabel", ids.ref(3), ["a", "b"])
    journal.add("relabel", ids.ref(1), "a")
    report = clean_copy(data, tmp_path / "copy", label_csv=data / "labels.csv", label_delim=";")
    table = pd.read_csv(tmp_path / "copy" / "labels.csv")
    assert table["tags"].tolist() == ["b", "a", "b", "a;b"] and "list of labels" in str(report.aside[0])


def test_a_file_that_several_rows_name_goes_with_the_last_of_them(tmp_path: Path) -> None:
    rows = "images/images_0.png,a\nimages/images_0.png,b\nimages/images_1.png,b\nimages/images_2.png,a\n"
    data, journal, _ = table_folder(tmp_path, f"file,label\n{rows}")
    table = pd.read_csv(data / "labels.csv")
    ids = ItemIds(
        [str(data / f) for f in table["file"]], root=data, labels=table["label"].tolist().__getitem__
    )
    journal.add("delete", ids.ref(1))  # the row that says b
    clean_copy(data, tmp_path / "one", label_csv=data / "labels.csv")
    assert pd.read_csv(tmp_path / "one" / "labels.csv")["label"].tolist() == ["a", "b", "a"]
    assert (tmp_path / "one" / "images" / "images_0.png").exists()
    journal.add("delete", ids.ref(0))
    clean_copy(data, tmp_path / "both", label_csv=data / "labels.csv")
    assert not (tmp_path / "both" / "images" / "images_0.png").exists()


def test_labels_in_file_names_become_a_table(tmp_path: Path) -> None:
    data = photo_folder(tmp_path / "data", {"ant": 2, "bee": 2})
    journal, ids = Journal(data / "edits.jsonl"), ids_of(data)
    journal.add("relabel", ids.ref(0), "bee")
    journal.add("delete", ids.ref(3))
    clean_copy(data, tmp_path / "copy", label_regex=r"^([a-z]+)_")
    table = pd.read_csv(tmp_path / "copy" / "labels.csv")
    assert dict(zip(table["file"], table["label"], strict=True)) == {
        "ant/ant_0.png": "bee",
        "ant/ant_1.png": "ant",
        "bee/bee_0.png": "bee",
    }


def test_hymenoptera(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "hymenoptera"
    journal, ids = Journal(tmp_path / "edits.jsonl"), ids_of(folder)
    ants = [i for i, f in enumerate(ids.items) if f.parent.name == "ants"]
    for i in ants[:3]:
        journal.add("delete", ids.ref(i))
    for i in ants[3:6]:
        journal.add("relabel", ids.ref(i), "bees")
    report = clean_copy(folder, tmp_path / "copy", journal)
    assert (report.deleted, report.relabelled, report.aside) == (3, 3, [])
    found = get_image_files(tmp_path / "copy")
    assert len(found) == len(ids) - 3
    assert sum(f.parent.name == "bees" for f in found) == len(ids) - len(ants) + 3
    with pytest.raises(DataError, match="none of"):
        clean_copy(photo_folder(tmp_path / "other", {"a": 2}), tmp_path / "x", journal)
    assert not os.path.exists(tmp_path / "x")
