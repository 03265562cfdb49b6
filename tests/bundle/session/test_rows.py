"""Rows without torch and pandas become the very numbers that the encoder of training gives."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiggly.bundle.parts import TableInput
from wiggly.bundle.rows import RowReader
from wiggly.bundle.schema import from_json
from wiggly.bundle.session.rows import RowSource
from wiggly.errors import ArgumentError, DataError, StorageError, WigglyError
from wiggly.tabular.encoder import TableEncoder

N = 40
TRAINING: dict[str, list[Any]] = {
    "city": ["Rome", "Oslo", "Bern", None] * 10,
    "digits": ["007", "42", "8", "15"] * 10,
    "level": [1, 2, 3, 2] * 10,
    "ratio": [0.5, 1.5, 2.25, 0.5] * 10,
    "member": [True, False, True, True] * 10,
    "day": [datetime(2024, 2, 29), datetime(2020, 1, 1, 12), datetime(2024, 2, 29), datetime(2021, 5, 5)]
    * 10,
    "price": [Decimal("1.10"), Decimal("2"), Decimal("3.5"), Decimal("2")] * 10,
    "age": [float(i) for i in range(N - 1)] + [None],
    "count": list(range(N)),
    "huge": [2**60 + 3 * i for i in range(N)],
    "since": [datetime(2020, 1, 1) + timedelta(days=i, microseconds=i) for i in range(N)],
    "took": [timedelta(seconds=1.5 * i) for i in range(N)],
    "on": [i % 3 == 0 for i in range(N)],
    "constant": [5.0] * N,
}
CATEGORIES = ["city", "digits", "level", "ratio", "member", "day", "price"]
NUMBERS = ["age", "count", "huge", "since", "took", "on", "constant"]


def both(categories: list[str] = CATEGORIES, numbers: list[str] = NUMBERS) -> tuple[RowReader, RowSource]:
    encoder = TableEncoder.fit(pd.DataFrame(TRAINING), categories, numbers)
    content = json.loads(json.dumps({"kind": "table", **encoder.config()}))
    described = from_json(TableInput, content)
    return RowReader(described, "x"), RowSource(described)


READER, SOURCE = both()


def assert_same(rows: Any, reader: RowReader = READER, source: RowSource = SOURCE) -> None:
    wanted = reader.encode(reader.frame(rows))
    found = source.encode(source.items(rows))
    assert found["categories"].dtype == np.int64 and found["numbers"].dtype == np.float32
    np.testing.assert_array_equal(found["categories"], wanted.cats.numpy())
    np.testing.assert_array_equal(found["numbers"], wanted.conts.numpy())
    assert str(source.surprises.unseen) == str(reader.surprises.unseen)
    assert source.surprises.missing == reader.surprises.missing
    assert source.surprises.infinite == reader.surprises.infinite


def row(place: int, **changes: Any) -> dict[str, Any]:
    return {**{name: values[place] for name, values in TRAINING.items()}, **changes}


def test_the_training_rows() -> None:
    assert_same([row(i) for i in range(N)])
    assert_same(row(3))


def nothing_or(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


floats = st.floats(allow_nan=True, allow_infinity=True, width=64)
instants = st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1))
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "city": nothing_or(st.sampled_from(["Rome", "Oslo", "Atlantis", "#na#", ""]) | st.text(max_size=4)),
    "digits": nothing_or(st.sampled_from(["007", "42", "7"])),
    "level": nothing_or(st.integers(-5, 5)),
    "ratio": nothing_or(st.sampled_from([0.5, 1.5, 2.25, 9.0, float("nan")])),
    "member": nothing_or(st.booleans()),
    "day": nothing_or(st.sampled_from([*TRAINING["day"][:4], datetime(1999, 1, 1)])),
    "price": nothing_or(st.sampled_from([Decimal("1.1"), Decimal("2"), Decimal("7")])),
    "age": nothing_or(floats),
    "count": nothing_or(st.integers(-(2**62), 2**62)),
    "huge": st.integers(2**59, 2**62),
    "since": nothing_or(instants),
    "took": nothing_or(st.timedeltas(timedelta(days=-999), timedelta(days=999))),
    "on": nothing_or(st.booleans()),
    "constant": nothing_or(floats | st.integers(-9, 9)),
}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=4))
def test_any_rows(rows: list[dict[str, Any]]) -> None:
    assert_same(rows)


@pytest.mark.parametrize(
    "changes",
    [
        {"age": 10**30},
        {"count": 2**70},
        {"count": 10**400, "age": -(10**39)},
        {"age": np.float32(3.25), "level": np.int8(2), "city": np.str_("Rome")},
        {"age": True, "on": 1},
        {"age": Decimal("7.25"), "count": Decimal("NaN")},
        {"since": date(2020, 3, 1), "day": date(2024, 2, 29)},
        {"since": "2020-03-01T10:00:00"},
        {"since": datetime.fromisoformat("2020-03-01T10:00:00+02:00")},
        {"since": pd.Timestamp("2020-03-01"), "took": pd.Timedelta("3s")},
        {"since": pd.NaT, "age": pd.NA},
        {"level": 2.0, "ratio": 1, "member": 1},
        {"extra": object()},
    ],
)
def test_odd_values(changes: dict[str, Any]) -> None:
    assert_same([row(3, **changes)])


def test_dates_as_text_in_several_rows() -> None:
    assert_same([row(1, since="2020-03-01"), row(2, since="2021-12-31")])


def test_lists_of_a_column_and_json() -> None:
    assert_same({name: values[:5] for name, values in TRAINING.items()})
    plain = {k: v for k, v in row(7).items() if k not in ("day", "price", "since", "took")}
    extra = {
        "since": {"date": "2020-02-02T00:00:00"},
        "took": {"duration": [0, 3, 5]},
        "day": None,
        "price": 2,
    }
    assert_same(json.dumps([{**plain, **extra, "huge": {"integer": str(2**60 + 5)}}] * 2).encode())


def test_pandas_rows() -> None:
    frame = pd.DataFrame(TRAINING)
    found = SOURCE.encode(SOURCE.items([frame.iloc[3]]))
    wanted = READER.encode(READER.frame(frame.iloc[3]))
    np.testing.assert_array_equal(found["categories"], wanted.cats.numpy())


@pytest.mark.parametrize(
    "rows",
    [
        [row(3, age="old")],
        [row(3, age=[1, 2])],
        [row(3, since="yesterday")],
        [5],
        "no such file.csv",
        b"[1, 2]",
        b"{not json",
        [{"city": "Rome"}],
        {"age": [1, 2], "city": ["Rome"]},
    ],
)
def test_the_same_refusals(rows: Any) -> None:
    with pytest.raises(WigglyError) as wanted:
        READER.encode(READER.frame(rows))
    with pytest.raises(type(wanted.value)) as found:
        SOURCE.encode(SOURCE.items(rows))
    assert found.value.rule == wanted.value.rule


def test_one_row_and_parquet(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="takes one row"):
        SOURCE.one([row(1), row(2)])
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"\.parquet"):
        SOURCE.items(tmp_path / "rows.parquet")
    with pytest.raises(StorageError, match="there is no"):
        SOURCE.items(tmp_path / "none.csv")


# ---- CSV ----

PLAIN = (["city", "digits", "level", "ratio", "member"], ["age", "count", "huge", "since", "on", "constant"])
CSV_READER, CSV_SOURCE = both(*PLAIN)
words = nothing_or(st.sampled_from(["Rome", "Oslo", "NA", "null", "a,b", 'say "x"', "007", " Bern", "é"]))
CSV_CELLS: dict[str, st.SearchStrategy[Any]] = {
    "city": words,
    "digits": nothing_or(st.sampled_from(["007", "42", "8"])),
    "level": nothing_or(st.integers(0, 4)),
    "ratio": nothing_or(st.sampled_from([0.5, 1.5, 2.0])),
    "member": nothing_or(st.booleans()),
    "age": nothing_or(st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: float(f"{x:.6g}"))),
    "count": nothing_or(st.integers(-(2**40), 2**40)),
    "huge": st.integers(2**59, 2**62),
    "since": st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1)).map(lambda t: t.replace(microsecond=0)),
    "on": st.booleans(),
    "constant": nothing_or(st.integers(-9, 9)),
}


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.fixed_dictionaries(CSV_CELLS), min_size=1, max_size=4),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_csv_files(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], separator: str, encoding: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    assert_same(path, CSV_READER, CSV_SOURCE)


def test_csv_with_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [row(i, since="2020-01-02") for i in (3, 4)]
    names = [*PLAIN[0], *PLAIN[1]]
    cells = [[str(r[n]).replace(".", ",") for n in names] for r in lines]
    path.write_text("\n".join(";".join(line) for line in [names, *cells]))
    assert_same(path, CSV_READER, CSV_SOURCE)


@pytest.mark.parametrize("text", ["", "a,b\n1,2,3\n", "city\n\xff"])
def test_no_csv(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="a CSV file must have"):
        CSV_SOURCE.items(path)


def test_adult(shared: Path) -> None:
    path = next((shared / "data" / "tabular").rglob("adult*.csv"), None)
    if path is None:
        pytest.skip("needs the Adult table")
    table = pd.read_csv(path, skipinitialspace=True)
    categories = ["workclass", "education", "marital-status", "occupation", "relationship", "race"]
    numbers = ["age", "fnlwgt", "education-num"]
    encoder = TableEncoder.fit(table[:3000], categories, numbers)
    described = from_json(TableInput, json.loads(json.dumps({"kind": "table", **encoder.config()})))
    assert_same(path, RowReader(described, "x"), RowSource(described))
