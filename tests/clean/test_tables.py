"""A CSV file cleaned: rows gone, labels mended, every other character as it was."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from wiggly import ArgumentError, ItemIds, Journal, clean_table, restore_files
from wiggly.data.table import TableItems
from wiggly.errors import DataError

TEXT = 'id,city,note,sold\n001,Rome,"a, b",yes\n002,Oslo,,no\n\n003,Rome,"""q""",no\n004,Oslo,1.50,yes\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    path.write_text(TEXT)
    table = pd.read_csv(path)
    journal = Journal(tmp_path / "edits.jsonl")
    ids = ItemIds(TableItems(table), labels=table["sold"].tolist().__getitem__)
    journal.add("delete", ids.ref(0))
    journal.add("relabel", ids.ref(2), "yes")
    return path


CLEANED = 'id,city,note,sold\n002,Oslo,,no\n003,Rome,"""q""",yes\n004,Oslo,1.50,yes\n'


def test_a_copy_and_in_place(file: Path, tmp_path: Path) -> None:
    report = clean_table(file, "sold", to=tmp_path / "new.csv")
    assert (tmp_path / "new.csv").read_text() == CLEANED and file.read_text() == TEXT
    assert (report.deleted, report.relabelled, report.files) == (1, 1, 3)
    with pytest.raises(ArgumentError, match="place of its own"):
        clean_table(file, "sold", to=tmp_path / "new.csv")
    clean_table(file, "sold")
    assert file.read_text() == CLEANED
    restore_files(tmp_path)
    assert file.read_text() == TEXT


def test_what_does_not_fit_is_named(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("id,sold\n1,yes\n2,no\n")
    with pytest.raises(DataError, match="none of"):
        clean_table(other, "sold", to=tmp_path / "new.csv")
    journal = Journal(tmp_path / "edits.jsonl")
    table = pd.read_csv(file)
    journal.add("relabel", ItemIds(TableItems(table)).ref(1), "perhaps")
    journal.add("move", ItemIds(TableItems(table)).ref(3), "valid")
    report = clean_table(file, "sold", to=tmp_path / "new.csv")
    assert ["'perhaps'" in str(report.aside[0]), "side" in str(report.aside[1])] == [True, True]


def test_equal_rows_in_place_go_once(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("x,y\n1,a\n2,b\n1,a\n1,a\n")
    Journal(tmp_path / "edits.jsonl").add("delete", ItemIds(TableItems(pd.read_csv(file))).ref(2))
    for _ in range(3):
        clean_table(file, "y")
        assert file.read_text() == "x,y\n1,a\n2,b\n1,a\n"
