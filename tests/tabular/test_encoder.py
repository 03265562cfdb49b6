"""The encoder agrees with scikit-learn, is its own inverse, and says what it has not seen."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from tests.tabular.support import CATEGORIES, NUMBERS, in_all_libraries, tables

from wiggly.errors import ArgumentError, BundleError, DataError
from wiggly.tabular.encoder import TableEncoder
from wiggly.tabular.procs import Categorify, FillMissing, FillStrategy, Normalize

ROWS = {
    "city": ["Rome", "Oslo", None, "Rome", "Bern", "Oslo"],
    "age": [31.0, None, 44.5, 20.0, None, 63.25],
    "rooms": [1, 5, 2, 3, 3, 2],
}


@given(tables())
@settings(max_examples=30, deadline=None)
def test_encode_decode_encode_is_the_identity(df: pd.DataFrame) -> None:
    encoder = TableEncoder.fit(df, list(CATEGORIES), list(NUMBERS))
    once = encoder.encode(df)
    twice = encoder.encode(encoder.decode(once.cats, once.conts))
    assert torch.equal(once.cats, twice.cats)
    assert torch.equal(once.conts, twice.conts)
    assert once.conts.isfinite().all()
    assert not once.surprises


@given(tables(least=1), tables())
@settings(max_examples=20, deadline=None)
def test_identity_for_rows_the_encoder_was_not_fitted_on(known: pd.DataFrame, new: pd.DataFrame) -> None:
    encoder = TableEncoder.fit(known, list(CATEGORIES), list(NUMBERS))
    once = encoder.encode(new)
    twice = encoder.encode(encoder.decode(once.cats, once.conts))
    assert torch.equal(once.cats, twice.cats)
    assert torch.equal(once.conts, twice.conts)


@given(tables())
@settings(max_examples=20, deadline=None)
def test_json_and_back_encodes_the_same(df: pd.DataFrame) -> None:
    encoder = TableEncoder.fit(df, list(CATEGORIES), list(NUMBERS))
    again = TableEncoder.from_config(json.loads(json.dumps(encoder.config(), allow_nan=False)))
    assert again.config() == encoder.config()
    one, other = encoder.encode(df), again.encode(df)
    assert torch.equal(one.cats, other.cats)
    assert torch.equal(one.conts, other.conts)


@given(tables(least=1, missing=False))
@settings(max_examples=20, deadline=None)
def test_decoding_gives_the_categories_back(df: pd.DataFrame) -> None:
    encoder = TableEncoder.fit(df, list(CATEGORIES))
    encoded = encoder.encode(df)
    back = encoder.decode(encoded.cats, encoded.conts)
    for name in CATEGORIES:
        if name == "texts" and "#na#" in list(df[name]):
            continue
        assert back[name].tolist() == df[name].tolist(), name


def test_agrees_with_scikit_learn() -> None:
    df = pd.DataFrame(ROWS)
    encoded = TableEncoder.fit(df, ["city"], ["age", "rooms"]).encode(df)
    codes = OrdinalEncoder(encoded_missing_value=-1).fit_transform(df[["city"]])[:, 0] + 1
    assert encoded.cats[:, 0].tolist() == codes.tolist()
    filled = SimpleImputer(strategy="median").fit_transform(df[["age", "rooms"]])
    np.testing.assert_allclose(encoded.conts, StandardScaler().fit_transform(filled), rtol=1e-6, atol=1e-7)
    assert encoded.cats[:, 1].tolist() == (df["age"].isna() + 1).tolist()


@pytest.mark.parametrize(("strategy", "value"), [("median", 37.75), ("mode", 20.0), ("constant", -1.0)])
def test_fill_strategies(strategy: str, value: float) -> None:
    fill = FillMissing(getattr(FillStrategy, strategy), add_col=False, fill_vals={"age": -1})
    encoder = TableEncoder.fit(ROWS, [], ["age"], [fill])
    assert encoder.cat_names == []
    conts = encoder.encode(ROWS).conts[:, 0]
    assert conts[1].item() == conts[4].item() == value
    assert conts[0].item() == 31


def test_only_training_rows_are_learnt_from() -> None:
    encoder = TableEncoder.fit(ROWS, ["city"], ["age"], rows=[0, 3])
    assert encoder.classes == {"city": ["#na#", "Rome"]}
    encoded = encoder.encode(ROWS)
    assert encoded.cats[:, 0].tolist() == [1, 0, 0, 1, 0, 0]
    assert encoded.surprises.unseen == {"city": 3}
    assert encoded.surprises.missing == {"age": 2}
    assert encoded.conts[1].item() == 0  # filled with the median, here the mean too
    assert "city: 3 values were not in training" in str(encoded.surprises)
    assert "age: 2 numbers were missing" in str(encoded.surprises)


@pytest.mark.parametrize("name", ["pandas", "polars", "pyarrow"])
def test_every_library_gives_the_same(name: str) -> None:
    columns: dict[str, list[Any]] = {
        **ROWS,
        "when": [datetime(2024, 1, day + 1) for day in range(6)],
        "big": [2**60 + k for k in range(6)],
        "yes": [True, False, None, True, True, False],
    }
    encoder = TableEncoder.fit(pd.DataFrame(columns), ["city", "yes"], ["age", "rooms", "when", "big"])
    table = in_all_libraries(columns)[name]
    assert (
        TableEncoder.fit(table, ["city", "yes"], ["age", "rooms", "when", "big"]).config() == encoder.config()
    )
    encoded, reference = encoder.encode(table), encoder.encode(pd.DataFrame(columns))
    assert torch.equal(encoded.cats, reference.cats)
    assert torch.equal(encoded.conts, reference.conts)
    assert len(set(encoded.conts[:, 3].tolist())) == 6  # not all the same, as float32 of 2**60 would be


def test_order_of_a_categorical_is_kept() -> None:
    sizes = pd.Categorical(["small", "large"], categories=["small", "medium", "large"], ordered=True)
    encoder = TableEncoder.fit(pd.DataFrame({"size": sizes}), ["size"])
    assert encoder.classes["size"] == ["#na#", "small", "medium", "large"]
    assert encoder.encode({"size": ["large", "medium", "huge"]}).cats[:, 0].tolist() == [3, 2, 0]


def test_text_in_a_column_of_numbers_is_named_with_its_row() -> None:
    encoder = TableEncoder.fit(ROWS, [], ["age"])
    with pytest.raises(DataError, match=r"'age' must hold numbers; row 1 holds 'old'"):
        encoder.encode({"age": [30.0, "old"]})
    with pytest.raises(DataError, match=r"'age' must hold numbers; row 0 holds '30'"):
        encoder.encode(pd.DataFrame({"age": ["30", "31"]}))


def test_a_missing_column_is_named_with_the_nearest() -> None:
    encoder = TableEncoder.fit(ROWS, ["city"], ["age"])
    with pytest.raises(ArgumentError, match=r"there is no 'age'.\nNearest: Age"):
        encoder.encode({"city": ["Rome"], "Age": [3.0]})


def test_infinities_are_missing_and_counted() -> None:
    encoder = TableEncoder.fit(ROWS, [], ["rooms"])
    encoded = encoder.encode({"rooms": [2.0, np.inf, -np.inf, 1e39]})
    assert encoded.surprises.infinite == {"rooms": 3}
    assert encoded.surprises.missing == {}
    assert encoded.conts.isfinite().all()
    fitted = TableEncoder.fit({"x": [1.0, np.inf, 3.0]}, [], ["x"])
    assert fitted.numbers[0].flagged
    assert fitted.numbers[0].fill == 2


def test_missing_without_fill_missing_is_refused() -> None:
    with pytest.raises(DataError, match="'age' lacks 2 in the training rows"):
        TableEncoder.fit(ROWS, [], ["age"], [Categorify, Normalize])


def test_decimals_and_integers_beyond_64_bits() -> None:
    table = pd.DataFrame(
        {"price": [Decimal("1.5"), Decimal("2.5"), None], "id": [2**70, 2**70 + 1, 2**70 + 2]}
    )
    encoder = TableEncoder.fit(table, ["id"], ["price", "id"][:1])
    assert encoder.classes["id"][1:] == [2**70, 2**70 + 1, 2**70 + 2]
    assert encoder.encode(table).conts[2].item() == 0
    numbers = TableEncoder.fit(table, [], ["id"])
    np.testing.assert_allclose(numbers.encode(table).conts[:, 0], [-1.2247449, 0, 1.2247449], rtol=1e-6)


def test_a_median_between_two_instants_can_be_decoded() -> None:
    spans = pd.to_timedelta([0, 1], unit="us")
    encoder = TableEncoder.fit(pd.DataFrame({"t": spans, "n": [1, 2]}), [], ["t", "n"])
    once = encoder.encode(pd.DataFrame({"t": [pd.NaT], "n": [None]}))
    assert torch.equal(once.conts, encoder.encode(encoder.decode(once.cats, once.conts)).conts)


def test_lists_are_no_categories() -> None:
    with pytest.raises(DataError, match="column 'tags' has others"):
        TableEncoder.fit(pd.DataFrame({"tags": [["a"], ["b"]]}), ["tags"])


def test_a_column_called_like_a_flag() -> None:
    table = {"age": [1.0, None], "age_na": ["x", "y"]}
    encoder = TableEncoder.fit(table, ["age_na"], ["age"])
    assert encoder.cat_names == ["age_na", "age_na_"]
    assert encoder.encode(table).cats.tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    "damage",
    [
        {},
        {"categories": [], "numbers": [{"name": "x"}]},
        {"categories": [{"name": "x", "vocab": [{"date": "no"}], "flag_of": None}], "numbers": []},
        {"categories": [{"name": "x", "vocab": 3, "flag_of": None}], "numbers": []},
        {"categories": None, "numbers": []},
    ],
)
def test_damaged_json_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(BundleError):
        TableEncoder.from_config(damage)


def test_a_negative_std_is_refused() -> None:
    config = TableEncoder.fit(ROWS, [], ["age"]).config()
    for value in (0, -1, float("nan")):
        config["numbers"][0]["std"] = value
        with pytest.raises(BundleError):
            TableEncoder.from_config(config)


def test_objects_beyond_every_float_are_infinite_and_decimals_without_value_missing() -> None:
    values = [Decimal("Infinity"), 10**400, Decimal("NaN"), Decimal(2), -(10**40), 1.5]
    df = pd.DataFrame({"n": pd.Series(values, dtype=object)})
    encoder = TableEncoder.fit(df, [], ["n"], [FillMissing])
    encoded = encoder.encode(df)
    assert encoded.surprises.infinite == {"n": 3}
    assert encoded.cats[:, 0].tolist() == [2, 2, 2, 1, 2, 1]
    assert encoded.conts[:, 0].tolist() == [1.75, 1.75, 1.75, 2.0, 1.75, 1.5]


def test_the_largest_float_is_decoded_as_a_number() -> None:
    largest = float(np.finfo(np.float32).max)
    df = pd.DataFrame({"n": [0.0, 0.0, 0.0, largest, None, None]})
    encoder = TableEncoder.fit(df, [], ["n"])
    encoded = encoder.encode(df)
    again = encoder.encode(encoder.decode(encoded.cats, encoded.conts))
    assert torch.equal(again.cats, encoded.cats)
