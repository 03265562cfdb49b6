"""The cleaner against the course's own loop, and its order against the learner's losses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from wiggly import (
    ArgumentError,
    DataError,
    ImageDataLoaders,
    Journal,
    Resize,
    get_image_files,
)
from wiggly.clean.widget.cleaner import ImageClassifierCleaner

# The two loops as the course's notebook on cleaning has them, a line each.
COURSE = """
for idx in cleaner.delete(): cleaner.fns[idx].unlink()
for idx,cat in cleaner.change(): shutil.move(str(cleaner.fns[idx]), path/cat)
"""

Learner = Callable[..., Any]


def mark(cleaner: ImageClassifierCleaner, file: Path, action: str, label: Any = None) -> None:
    """What the page sends when somebody marks a picture."""
    position = [item.file for item in cleaner.review.items].index(str(file))
    wanted = {"label": label} if label is not None else {}
    done = cleaner.answer({"do": "mark", "positions": [position], "action": action, **wanted})
    assert done.get("error") is None and done["refused"] == []


def run_course(cleaner: ImageClassifierCleaner, path: Path) -> None:
    exec(COURSE, {"cleaner": cleaner, "path": path, "shutil": shutil})


def names(folder: Path) -> list[str]:
    return sorted(f"{file.parent.name}/{file.name}" for file in get_image_files(folder))


def test_each_view_is_the_hardest_of_its_label_and_side_first(photos: Path, learner: Learner) -> None:
    learn = learner(photos)
    cleaner = ImageClassifierCleaner(learn, max_n=4)
    for ds_idx, side in enumerate(("Train", "Valid")):
        losses = learn.get_preds(ds_idx=ds_idx, with_loss=True)[-1]
        items = (learn.dls.valid if ds_idx else learn.dls.train).dataset.items
        for digit in learn.dls.vocab:
            cleaner.choose(digit, side)
            of_digit = [i for i, file in enumerate(items) if file.parent.name == digit]
            expected = sorted(of_digit, key=lambda i: (-float(losses[i]), items[i]))[:4]
            assert cleaner.fns == [items[i] for i in expected]
    assert cleaner.delete() == [] and cleaner.change() == []


def test_losses_and_predictions_are_those_of_the_network(photos: Path, learner: Learner) -> None:
    learn = learner(photos)
    cleaner = ImageClassifierCleaner(learn)
    logits, targets = zip(
        *((learn.model.eval()(x.contiguous()).detach(), y) for x, y in learn.dls.valid), strict=True
    )
    n_train = len(learn.dls.train.dataset)
    expected = torch.nn.functional.cross_entropy(torch.cat(logits), torch.cat(targets), reduction="none")
    found = cleaner.review.items[n_train:]
    assert [item.split for item in found] == ["valid"] * len(expected)
    assert torch.allclose(torch.tensor([item.loss for item in found]), expected, atol=1e-4)
    best = torch.cat(logits).argmax(1).tolist()
    assert [item.predicted for item in found] == [learn.dls.vocab[i] for i in best]
    wrong = [i for i, k in enumerate(best) if k != int(torch.cat(targets)[i])]
    assert [i for i, item in enumerate(found) if item.findings] == wrong


def test_marks_are_kept_when_a_chooser_changes(photos: Path, learner: Learner) -> None:
    cleaner = ImageClassifierCleaner(learner(photos), max_n=5)
    first, second = cleaner.fns[1], cleaner.fns[3]
    mark(cleaner, first, "delete")
    mark(cleaner, second, "relabel", "7")
    assert (cleaner.delete(), cleaner.change()) == ([1], [(3, "7")])

    cleaner.choose("5", "valid")
    assert {file.parent.name for file in cleaner.fns[: len(cleaner._view)]} == {"5"}  # pyright: ignore[reportPrivateUsage]
    assert [cleaner.fns[i] for i in cleaner.delete()] == [first]
    assert [(cleaner.fns[i], label) for i, label in cleaner.change()] == [(second, "7")]

    cleaner.choose("3")
    assert (cleaner.delete(), cleaner.change()) == ([1], [(3, "7")])


def test_the_loop_of_the_course_carries_out_all_marks_once(photos: Path, learner: Learner) -> None:
    cleaner = ImageClassifierCleaner(learner(photos), max_n=5)
    before = names(photos)
    deleted, moved = [cleaner.fns[0]], [cleaner.fns[2]]
    mark(cleaner, deleted[0], "delete")
    mark(cleaner, moved[0], "relabel", "5")
    mark(cleaner, cleaner.fns[3], "keep")
    mark(cleaner, cleaner.fns[4], "unsure")
    cleaner.choose("7", "Valid")
    deleted, moved = [*deleted, cleaner.fns[0]], [*moved, cleaner.fns[1]]
    mark(cleaner, deleted[1], "delete")
    mark(cleaner, moved[1], "relabel", "3")

    run_course(cleaner, photos)
    expected = set(before) - {f"{file.parent.name}/{file.name}" for file in [*deleted, *moved]}
    assert set(names(photos)) == expected | {f"5/{moved[0].name}", f"3/{moved[1].name}"}
    assert cleaner.delete() == [] and cleaner.change() == []
    run_course(cleaner, photos)  # nothing is left to do, and nothing fails
    shown = cleaner.answer({"do": "query", "given": "7", "split": "valid", "order": "loss", "limit": 5})
    files = {Path(cleaner.review.items[position].file) for position in shown["positions"]}
    assert not {*deleted, *moved} & files  # what is gone is not shown again


def test_marks_survive_a_restart_and_can_be_applied_instead(photos: Path, learner: Learner) -> None:
    learn = learner(photos)
    cleaner = ImageClassifierCleaner(learn)
    deleted, changed = cleaner.fns[0], cleaner.fns[1]
    mark(cleaner, deleted, "delete")
    mark(cleaner, changed, "relabel", "7")
    again = ImageClassifierCleaner(learn)
    assert again.delete() == [0] and again.change() == [(1, "7")]
    assert again.edits.path == photos / "edits.jsonl" and len(again.edits.edits) == 2

    cleaned = learner(photos, edits=cleaner.edits)
    assert cleaned.dls.edits.deleted == 1 and cleaned.dls.edits.relabelled == 1
    third = ImageClassifierCleaner(cleaned)  # goes on with the journal that the loaders apply
    assert third.edits.path == cleaner.edits.path
    files = [item.file for item in third.review.items]
    assert str(deleted) not in files and third.delete() == []
    given = {item.file: item.given for item in third.review.items}
    assert given[str(changed)] == "7" and third.change() == []


def test_after_the_loop_the_journal_still_fits_the_data(photos: Path, learner: Learner) -> None:
    cleaner = ImageClassifierCleaner(learner(photos))
    valid = {file.name for file in cleaner.fns}
    mark(cleaner, cleaner.fns[0], "delete")
    mark(cleaner, cleaner.fns[1], "relabel", "7")
    run_course(cleaner, photos)
    learn = learner(photos, edits=cleaner.edits)
    assert learn.dls.edits.aside == [] and learn.dls.edits.gone == 1
    train = {file.name for file in learn.dls.train.dataset.items}
    assert valid - {cleaner.fns[0].name} <= train  # a split by seed has stayed


@pytest.mark.parametrize("labels", [str, int])
def test_items_of_a_table(photos: Path, learner: Learner, labels: type) -> None:
    files = get_image_files(photos)
    table = pd.DataFrame(
        {
            "file": [file.relative_to(photos).as_posix() for file in files],
            "digit": [labels(file.parent.name) for file in files],
        }
    )
    dls = ImageDataLoaders.from_df(table, photos, seed=1, item_tfms=Resize(32), bs=16)
    cleaner = ImageClassifierCleaner(learner(dls), max_n=3)
    assert {file.parent for file in cleaner.fns} == {photos / "3"}
    mark(cleaner, cleaner.fns[2], "relabel", labels("5"))
    mark(cleaner, cleaner.fns[0], "delete")
    assert cleaner.change() == [(2, labels("5"))] and cleaner.delete() == [0]
    gone, moved = cleaner.fns[0], cleaner.fns[2]
    again = ImageDataLoaders.from_df(table, photos, seed=1, item_tfms=Resize(32), bs=16, edits=cleaner.edits)
    assert (again.edits.deleted, again.edits.relabelled, again.edits.aside) == (1, 1, [])  # pyright: ignore[reportOptionalMemberAccess]
    cleaner.fns[0].unlink()
    assert not gone.exists() and moved.exists()


def test_a_csv_file_with_a_suffix_and_a_column_for_the_split(photos: Path, learner: Learner) -> None:
    files = get_image_files(photos)
    table = pd.DataFrame(
        {
            "is_valid": [i % 3 == 0 for i in range(len(files))],
            "name": [file.relative_to(photos).with_suffix("").as_posix() for file in files],
            "label": [f"digit {file.parent.name}" for file in files],
        }
    )
    table.to_csv(photos / "labels.csv", index=False)
    dls = ImageDataLoaders.from_csv(
        photos, fn_col="name", label_col="label", suff=".png", valid_col="is_valid", item_tfms=Resize(32)
    )
    cleaner = ImageClassifierCleaner(learner(dls))
    cleaner.choose("digit 7", "Valid")
    expected = {file for i, file in enumerate(files) if i % 3 == 0 and file.parent.name == "7"}
    assert set(cleaner.fns) == expected


def test_unreadable_pictures_come_first_and_stop_nothing(photos: Path, learner: Learner) -> None:
    learn = learner(photos)
    broken = [file for file in learn.dls.train.dataset.items if file.parent.name == "3"][:2]
    for file in broken:
        file.write_bytes(b"no picture " + file.name.encode())
    cleaner = ImageClassifierCleaner(learn)
    assert set(cleaner.fns[:2]) == set(broken)
    first = cleaner.answer({"do": "page", "positions": [cleaner._view[0]]})["items"][0]  # pyright: ignore[reportPrivateUsage]
    assert first["loss"] is None and first["findings"][0]["kind"] == "unreadable"
    mark(cleaner, broken[0], "delete")
    run_course(cleaner, photos)
    assert not broken[0].exists() and broken[1].exists()


def test_where_the_journal_lies(
    photos: Path, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    learn = learner(photos)
    assert ImageClassifierCleaner(learn, edits="mine.jsonl").edits.path == photos / "mine.jsonl"
    assert ImageClassifierCleaner(learn, edits=tmp_path / "a.jsonl").edits.path == tmp_path / "a.jsonl"
    own = Journal(tmp_path / "own.jsonl", author="Ann")
    assert ImageClassifierCleaner(learn, edits=own).edits is own
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != photos)
    assert ImageClassifierCleaner(learn).edits.path == Path("edits.jsonl")


def test_new_labels_may_be_offered(photos: Path, learner: Learner) -> None:
    cleaner = ImageClassifierCleaner(learner(photos), opts=["none"], height=64, width=64)
    assert cleaner.settings["labels"] == ["none"] and cleaner.settings["height"] == 64
    position = cleaner._view[0]  # pyright: ignore[reportPrivateUsage]
    request = {"do": "mark", "positions": [position], "action": "relabel", "label": "none"}
    assert "error" in cleaner.answer(request)  # nobody said that it is meant to be new
    cleaner.answer({**request, "new_class": True})
    assert cleaner.change() == [(0, "none")]


def test_what_it_is_not_for(photos: Path, learner: Learner) -> None:
    files = get_image_files(photos)
    table = pd.DataFrame(
        {"file": map(str, files), "labels": ["a b" if i % 2 else "a" for i in range(len(files))]}
    )
    several = ImageDataLoaders.from_df(table, "/", label_delim=" ", item_tfms=Resize(32), bs=16)
    with pytest.raises(ArgumentError, match=r"one label each.*MultiCategoryBlock"):
        ImageClassifierCleaner(learner(several))
    with pytest.raises(ArgumentError, match=r"one label each.*it got a DataLoaders"):
        ImageClassifierCleaner(several)
    learn = learner(photos)
    with pytest.raises(ArgumentError, match="max_n"):
        ImageClassifierCleaner(learn, max_n=0)
    cleaner = ImageClassifierCleaner(learn)
    with pytest.raises(ArgumentError, match="choosers"):
        cleaner.choose("9")
    with pytest.raises(ArgumentError, match="choosers"):
        cleaner.choose("3", "test")


def test_a_journal_of_other_data_is_named(photos: Path, learner: Learner, tmp_path: Path) -> None:
    learn = learner(photos)
    other = tmp_path / "other"
    shutil.copytree(photos, other)
    cleaner = ImageClassifierCleaner(learn)
    mark(cleaner, cleaner.fns[0], "keep")
    for file in get_image_files(photos):
        file.write_bytes(file.read_bytes() + b"changed")
    with pytest.raises(DataError, match="must be about these items"):
        ImageClassifierCleaner(learner(photos))
