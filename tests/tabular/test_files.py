"""Tables in files: what stands between values, letters, damaged files, folders and patterns of parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wiggly.errors import ArgumentError, DataError, StorageError
from wiggly.tabular.files import read_csv
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.reading import as_frame


def sales(n: int = 120) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": draw.normal(40, 10, n).round(3),
            "city": draw.choice(["Köln", "Oslo", "Bern"], n),
            "year": np.repeat([2022, 2023, 2024], n // 3),
            "sold": draw.choice(["no", "yes"], n),
        }
    )


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_letters(sep: str, encoding: str, tmp_path: Path) -> None:
    sales().to_csv(tmp_path / "t.csv", index=False, sep=sep, encoding=encoding)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), sales())


def test_decimal_commas(tmp_path: Path) -> None:
    sales().to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), sales())


def test_columns_are_not_shifted_by_a_value_too_many(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,sold\n1,2,no,9\n3,4,yes,9\n")
    with pytest.raises(DataError, match="more values than there are names"):
        read_csv(path)
    path.write_text("a,b,sold\n1,2,no,\n3,4,yes,\n")  # a comma at each line's end is no value
    assert read_csv(path).to_dict("list") == {"a": [1, 3], "b": [2, 4], "sold": ["no", "yes"]}


def test_a_large_column_has_one_type(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"  # so long that pandas would read it in parts
    path.write_text("code,x\n" + "12,1\n" * 600_000 + "A,1\n")
    assert set(read_csv(path)["code"]) == {"12", "A"}


def test_other_files_are_refused_with_what_reads_them(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="read_excel"):
        as_frame(tmp_path / "t.xlsx")
    (tmp_path / "t.parquet").write_bytes(b"PAR")
    with pytest.raises(DataError, match=r"t\.parquet' is not"):
        as_frame(tmp_path / "t.parquet")
    sales().to_csv(tmp_path / "t.csv", index=False, encoding="cp1252")
    with pytest.raises(DataError, match='encoding="cp1252"'):
        as_frame(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"they have \{'a': 2, 'b': 1\}"):
        as_frame({"a": [1, 2], "b": [1]})


def made(source: Any) -> TabularDataLoaders:
    return TabularDataLoaders.from_df(source, y_names="sold", seed=0, verbose=False)


def streamed(source: Any, **named: Any) -> TabularDataLoaders:
    options = {"y_names": "sold", "bs": 16, "seed": 0, "verbose": False, **named}
    return TabularDataLoaders.from_parquet(source, **options)


def test_folders_patterns_and_partitions(tmp_path: Path) -> None:
    df = sales()
    for year, part in df.groupby("year"):
        folder = tmp_path / "rows" / f"year={year}"
        folder.mkdir(parents=True)
        part.drop(columns="year").to_parquet(folder / "part.parquet")  # its index is written too
    whole = made(df.assign(year=df["year"]))
    for source in (tmp_path / "rows", str(tmp_path / "rows" / "*" / "*.parquet")):
        dls = made(source)
        assert dls.classes == whole.classes
        assert dls.cont_names == ["age"]
        assert sorted(streamed(source).classes["year"][1:]) == [2022, 2023, 2024]
    listed = streamed([tmp_path / "rows" / "year=2022" / "part.parquet", tmp_path / "rows/year=2023"])
    assert len(listed.train.dataset) + len(listed.valid.dataset) == 80
    with pytest.raises(StorageError, match="there is none at"):
        streamed(tmp_path / "rows" / "*.pq")
    with pytest.raises(ArgumentError, match="it is a DataFrame"):
        streamed(df)


def test_files_sorted_by_a_column_and_an_empty_one(tmp_path: Path) -> None:
    for k, (_, part) in enumerate(sales().groupby("year")):
        part.to_parquet(tmp_path / f"{k + 1}.parquet", index=False)
    sales().head(0).to_parquet(tmp_path / "0.parquet", index=False)
    dls = streamed(tmp_path)
    assert dls.classes["year"] == ["#na#", 2022, 2023, 2024]  # one value in each file
    assert dls.table.kinds.left_out == {}


def test_errors_name_the_file_and_its_row(tmp_path: Path) -> None:
    df = sales()
    df.head(60).to_parquet(tmp_path / "a.parquet", index=False, row_group_size=10)
    broken = df.tail(60).reset_index(drop=True)
    broken.assign(sold=broken["sold"].where(broken.index != 37)).to_parquet(
        tmp_path / "b.parquet", index=False, row_group_size=10
    )
    dls = streamed(tmp_path)
    with pytest.raises(DataError, match=r"b\.parquet' in row 37 of 'sold'"):
        _ = [list(loader) for loader in (dls.train, dls.valid)]
    broken.drop(columns="city").to_parquet(tmp_path / "b.parquet", index=False)
    with pytest.raises(DataError, match=r"'city' is in '.*a\.parquet' and not in '.*b\.parquet'"):
        streamed(tmp_path)


def test_a_file_that_breaks_while_training_is_named_once(tmp_path: Path) -> None:
    for k in range(4):
        sales().to_parquet(tmp_path / f"{k}.parquet", index=False, row_group_size=30)
    dls = streamed(tmp_path, buffer_rows=1)
    list(dls.train)
    (tmp_path / "2.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"2\.parquet' is not") as found:
        list(dls.train)
    assert str(found.value).count("2.parquet") <= 2  # once by us, perhaps once by pyarrow
    assert str(found.value).count("must be readable") == 1
