"""Bundles of tables and of ratings: data, no code; the same answers as the learner; damaged ones refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from tests.bundle.support import entries_of, forged, rewrite

from wiggly.bundle.archive import Archive
from wiggly.bundle.manifest import manifest_schema, read_manifest
from wiggly.bundle.parts import NumbersOutput, PairInput, TableInput
from wiggly.bundle.predictor import Predictor, load_bundle
from wiggly.bundle.rows import RowReader, read_rows
from wiggly.cli.telling import facts, predicted_columns
from wiggly.data.blocks import MultiCategoryBlock
from wiggly.errors import ArgumentError, BundleError, DataError, StorageError, WigglyError
from wiggly.tabular.collab.learner import collab_learner
from wiggly.tabular.collab.loaders import CollabDataLoaders
from wiggly.tabular.learner import tabular_learner
from wiggly.tabular.loaders import TabularDataLoaders


def people(n: int = 120) -> pd.DataFrame:
    """A table with every kind of column, cells missing here and there."""
    draw = np.random.default_rng(3)
    age = draw.integers(18, 80, n)
    pay = np.where(draw.random(n) < 0.1, np.nan, draw.normal(3000, 400, n).round(2))
    return pd.DataFrame(
        {
            "city": draw.choice(["Rome", "Oslo", "Zürich", "東京"], n),
            "code": draw.choice(["007", "12", "3"], n),
            "rooms": draw.integers(1, 5, n),
            "owner": pd.array(draw.choice([True, False, None], n), dtype="boolean"),
            "age": age,
            "pay": pay,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 2000, n), "D"),
            "huge": 2**60 + draw.integers(0, 50, n),
            "rent": (age * 10 + draw.normal(0, 5, n)).round(1),
            "tax": (age / 7).round(3),
            "buys": np.where(age + draw.normal(0, 5, n) > 45, "yes", "no"),
            "likes_tea": draw.integers(0, 2, n),
            "likes_rye": draw.integers(0, 2, n),
        }
    )


TARGETS = ["rent", "tax", "buys", "likes_tea", "likes_rye"]
KINDS: dict[str, tuple[Any, Any, str]] = {
    "label": ("buys", None, "classification"),
    "number": ("rent", None, "regression"),
    "numbers": (["rent", "tax"], None, "regression"),
    "labels": (
        ["likes_tea", "likes_rye"],
        MultiCategoryBlock(encoded=True, vocab=["likes_tea", "likes_rye"]),
        "multilabel",
    ),
}


def trained(kind: str, arch: str = "mlp") -> Any:
    y_names, block, _ = KINDS[kind]
    names = [y_names] if isinstance(y_names, str) else y_names
    table = people().drop(columns=[name for name in TARGETS if name not in names])
    torch.manual_seed(0)
    dls = TabularDataLoaders.from_df(table, y_names=y_names, y_block=block, bs=16, seed=0, verbose=False)
    config = {"members": 4} if arch == "tabm" else {"ps": 0.1}
    learn = tabular_learner(dls, layers=[16, 16], arch=arch, config=config)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    return learn


@pytest.fixture(scope="module", params=[*KINDS, "tabm"])
def made(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Path]:
    kind = "label" if request.param == "tabm" else request.param
    if request.param == "tabm":
        pytest.importorskip("tabm")
    learn = trained(kind, "tabm" if request.param == "tabm" else "mlp")
    return kind, learn, learn.export(tmp_path_factory.mktemp("tables") / "people.wiggly", graph=False)


@pytest.fixture(scope="module")
def label(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that says who buys."""
    return trained("label").export(tmp_path_factory.mktemp("label") / "people.wiggly", graph=False)


def content_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("model.json"))


def test_the_same_answer_as_the_learner(made: tuple[str, Any, Path]) -> None:
    _, learn, path = made
    predictor, table = load_bundle(path), people()
    wanted = learn.get_preds(dl=learn.dls.test_dl(table))[0]
    found, nothing = predictor.get_preds(dl=predictor.dls.test_dl(table))
    assert nothing is None and torch.allclose(found, wanted, rtol=1e-5, atol=1e-6)
    many = predictor.predict_batch(table.head(20), bs=7)
    for position, answer in enumerate(many):
        one, learned = predictor.predict(table.iloc[position]), learn.predict(table.iloc[position])
        assert one.decoded == pytest.approx(learned.decoded)
        assert one.decoded == pytest.approx(answer.decoded)
        assert torch.allclose(one.probs, learned.probs, rtol=1e-5, atol=1e-6)


def test_what_is_in_it(made: tuple[str, Any, Path]) -> None:
    kind, learn, path = made
    content = content_of(path)
    jsonschema.Draft202012Validator(manifest_schema()).validate(content)
    assert content["task"] == KINDS[kind][2]
    columns = content["inputs"][0]
    assert {"kind": "table", **learn.dls.table.encoder.config()} == columns
    assert any(column["flag_of"] == "pay" for column in columns["categories"])
    assert content["metrics"].keys() >= {"valid_loss"}
    output = content["outputs"][0]
    assert output.get("names", KINDS[kind][0]) == ([KINDS[kind][0]] if kind == "number" else KINDS[kind][0])
    if kind in ("label", "number"):
        assert content["score"]["n"] == 24
    with zipfile.ZipFile(path) as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} <= {
            "json",
            "sha256",
            "safetensors",
            "md",
        }


def test_worked_examples_are_rows_with_answers(made: tuple[str, Any, Path]) -> None:
    kind, learn, path = made
    predictor = load_bundle(path)
    assert predictor.verify() <= 1e-5
    assert len(predictor.examples) == 6
    if kind == "label":  # three of each
        assert sorted(example.actual for example in predictor.examples) == ["no"] * 3 + ["yes"] * 3
    table, columns = people(), learn.dls.table.encoder.column_names
    for example in predictor.examples:
        [row] = read_rows(example.content)
        assert list(row) == columns
        same = table[
            (table["age"] == row["age"]) & (table["since"] == row["since"]) & (table["code"] == row["code"])
        ]
        assert len(same) == 1, "a validation row, as the table has it"
        assert same.iloc[0]["huge"] == row["huge"] and type(row["huge"]) is int
        answer = predictor.predict(row).decoded
        assert answer == pytest.approx(example.answer.decoded)


def test_every_form_of_rows(label: Path, tmp_path: Path) -> None:
    predictor, table = load_bundle(label), people(30).drop(columns=TARGETS)
    wanted = torch.stack([answer.probs for answer in predictor.predict_batch(table)])
    as_json = json.loads(table.to_json(orient="records", date_format="iso"))
    table.to_csv(tmp_path / "rows.csv", index=False)
    table.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.json").write_text(json.dumps(as_json))
    forms: dict[str, Any] = {
        "polars": pl.from_pandas(table),
        "arrow": pa.Table.from_pandas(table),
        "columns": {name: table[name] for name in table},
        "dicts": table.to_dict("records"),
        "rows": [row for _, row in table.iterrows()],
        "json": json.dumps(as_json).encode(),
        "texts": [json.dumps(row).encode() for row in as_json],
        "csv file": tmp_path / "rows.csv",
        "parquet file": str(tmp_path / "rows.parquet"),
        "json file": tmp_path / "rows.json",
    }
    for name, form in forms.items():
        found, _ = predictor.get_preds(form)
        assert torch.allclose(found, wanted, atol=1e-5), name
    assert predictor.predict_batch([]) == []
    assert predictor.predict_batch(table.head(0)) == []


def test_a_column_of_digits_stays_text_in_a_csv(label: Path, tmp_path: Path) -> None:
    predictor = load_bundle(label)
    table = people(120).drop(columns=TARGETS).query("code == '007'").head(3)
    table.to_csv(tmp_path / "rows.csv", index=False)
    reader = predictor.reader
    assert isinstance(reader, RowReader)
    found, _ = predictor.get_preds(tmp_path / "rows.csv")
    assert not reader.surprises
    assert torch.allclose(found, predictor.get_preds(table)[0], atol=1e-6)


def test_unseen_and_missing_values_are_handled_and_told(label: Path) -> None:
    predictor = load_bundle(label)
    reader = predictor.reader
    assert isinstance(reader, RowReader)
    row = people().drop(columns=TARGETS).iloc[0].to_dict()
    predictor.predict(row)
    assert not reader.surprises
    strange = {**row, "city": "Atlantis", "age": None, "rooms": float("nan"), "pay": float("inf")}
    probs = predictor.predict(strange).probs
    assert bool(torch.isfinite(probs).all())
    assert (reader.surprises.unseen, reader.surprises.missing) == ({"city": 1}, {"age": 1})
    assert reader.surprises.infinite == {"pay": 1}


@pytest.mark.parametrize(
    ("change", "match", "kind"),
    [
        ({"age": "old"}, "'age' must hold numbers", DataError),
        ({"since": "yesterday"}, "'since' must hold dates", DataError),
    ],
)
def test_wrong_values_are_refused_by_name(
    label: Path, change: dict[str, Any], match: str, kind: type[Exception]
) -> None:
    row = people().drop(columns=TARGETS).iloc[0].to_dict()
    with pytest.raises(kind, match=match):
        load_bundle(label).predict({**row, **change})


def test_wrong_rows(label: Path, tmp_path: Path) -> None:
    predictor, table = load_bundle(label), people(5)
    with pytest.raises(ArgumentError, match=r"'agge'|no 'age'"):
        predictor.predict(table.rename(columns={"age": "agge"}).iloc[0])
    with pytest.raises(ArgumentError, match="there are 5"):
        predictor.predict(table)
    for content in (b"", b"[1, 2]", b'"text"', b"[" * 100_000, b"\xff\xfe"):
        with pytest.raises(DataError, match="JSON"):
            predictor.predict(content)
    with pytest.raises(StorageError):
        predictor.predict_batch(tmp_path / "gone.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "noise.csv").write_bytes(bytes(range(256)))
    for name in ("empty.csv", "noise.csv"):
        with pytest.raises(WigglyError):
            predictor.predict_batch(tmp_path / name)
    with pytest.raises(WigglyError):
        predictor.predict(5)


SCRIPT = """
import sys
from wiggly import load_learner
for path in sys.argv[1:]:
    print(load_learner(path).verify() < 1e-4)
heavy = ("matplotlib", "sklearn", "gradio", "IPython", "polars", "pyarrow")
rooms = ("wiggly.train", "wiggly.interpret", "wiggly.bundle.export", "wiggly.cli")
rooms += ("wiggly.tabular.learner", "wiggly.tabular.loader", "wiggly.tabular.collab.l")
print([m for m in sys.modules if m.split(".")[0] in heavy[:4] or m.startswith(rooms)])
"""


@pytest.mark.slow
def test_imports_no_training_code(label: Path, stars: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(label), str(stars)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "True", "[]"]


def test_examples_can_be_left_out(tmp_path: Path) -> None:
    from wiggly.bundle.export import export_bundle

    path = export_bundle(trained("label"), tmp_path / "x.wiggly", examples=0, graph=False)
    assert load_bundle(path).examples == []
    assert b"examples/" not in path.read_bytes()


def test_a_table_that_is_streamed(tmp_path: Path) -> None:
    table = people(400).drop(columns=["huge", "owner", *TARGETS[:2], *TARGETS[3:]])
    table.to_parquet(tmp_path / "people.parquet", row_group_size=100)
    options: dict[str, Any] = {"bs": 32, "seed": 0, "verbose": False}
    dls = TabularDataLoaders.from_parquet(tmp_path / "people.parquet", y_names="buys", **options)
    learn = tabular_learner(dls, layers=[8])
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    predictor = load_bundle(learn.export(tmp_path / "people.wiggly", calibrate=False, graph=False))
    assert predictor.verify() < 1e-5 and len(predictor.examples) == 6
    assert predictor.manifest.score is not None and predictor.manifest.score.baseline_label in ("no", "yes")
    wanted = learn.get_preds(dl=dls.test_dl(table))[0]
    assert torch.allclose(predictor.get_preds(table)[0], wanted, atol=1e-6)


def test_several_targets_of_different_kinds(tmp_path: Path) -> None:
    table = people().drop(columns=["likes_tea", "likes_rye", "tax"])
    dls = TabularDataLoaders.from_df(table, y_names=["buys", "rent"], bs=16, seed=0, verbose=False)
    learn = tabular_learner(dls, layers=[8])
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    path = learn.export(tmp_path / "both.wiggly", graph=False)
    content, predictor = content_of(path), load_bundle(path)
    jsonschema.Draft202012Validator(manifest_schema()).validate(content)
    assert content["task"] == "several"
    assert [output["kind"] for output in content["outputs"]] == ["category", "numbers"]
    assert predictor.verify() < 1e-5 and len(predictor.examples) == 6
    bought = [example["answers"][0]["actual"] for example in content["examples"]]
    assert sorted(bought) == ["no"] * 3 + ["yes"] * 3
    wanted = learn.get_preds(dl=dls.test_dl(table))[0]
    for first, second in zip(predictor.get_preds(table)[0], wanted, strict=True):
        assert torch.allclose(first, second, rtol=1e-5, atol=1e-6)
    one, learned = predictor.predict(table.iloc[0]), learn.predict(table.iloc[0])
    assert one.decoded[0] == learned.decoded[0] and one.decoded[1] == pytest.approx(learned.decoded[1])
    assert {"target": "buys", "label": one.decoded[0]}.items() <= facts(predictor, one)["targets"][0].items()
    for rows in (table.head(3), table.head(0)):
        added = predicted_columns(predictor, rows)
        assert list(added) == ["buys_pred", "buys_probability", "rent_pred"]
        assert {len(values) for values in added.values()} == {len(rows)}

    def shorter(content: dict[str, Any]) -> None:
        content["examples"][0]["answers"].pop()

    def wrong(content: dict[str, Any]) -> None:
        content["examples"][0]["answers"][1]["values"][0] += 50

    with pytest.raises(BundleError, match="2 answers"):
        changed(path, tmp_path / "x.wiggly", shorter)
    with pytest.raises(BundleError, match="examples/1"):
        load_bundle(changed(path, tmp_path / "x.wiggly", wrong)).verify()


# --- ratings ------------------------------------------------------------------------------------------------
def ratings() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    user, book = draw.integers(0, 12, 300), draw.integers(0, 15, 300)
    stars = np.clip(3 + np.sin(user) * np.cos(book) * 2 + draw.normal(0, 0.3, 300), 1, 5).round()
    return pd.DataFrame({"user": user, "book": [f"book {b}" for b in book], "stars": stars})


def rated(use_nn: bool = False) -> Any:
    dls = CollabDataLoaders.from_df(ratings(), seed=1, bs=32, verbose=False)
    torch.manual_seed(0)
    learn = collab_learner(dls, n_factors=None if use_nn else 6, use_nn=use_nn, y_range=(0.5, 5.5))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(2, 1e-2)
    return learn


@pytest.fixture(scope="module")
def stars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of ratings."""
    return rated().export(tmp_path_factory.mktemp("stars") / "books.wiggly", graph=False)


@pytest.mark.parametrize("use_nn", [False, True])
def test_ratings_neighbours_and_recommendations(use_nn: bool, tmp_path: Path) -> None:
    learn = rated(use_nn)
    predictor = load_bundle(learn.export(tmp_path / "books.wiggly", graph=False))
    content = content_of(tmp_path / "books.wiggly")
    jsonschema.Draft202012Validator(manifest_schema()).validate(content)
    assert content["task"] == "recommendation"
    assert isinstance(predictor.manifest.inputs[0], PairInput)
    assert predictor.verify() < 1e-5
    table = ratings().head(40)
    assert torch.allclose(predictor.get_preds(table)[0], learn.get_preds(dl=learn.dls.test_dl(table))[0])
    for row in ({"user": 3, "book": "book 1"}, {"user": 999, "book": "book 1"}, {"user": 3, "book": None}):
        assert predictor.predict(row).decoded == pytest.approx(learn.predict(row).decoded, abs=1e-6)
    model: Any = predictor.model
    assert model.nearest("book 1", 4) == learn.nearest("book 1", 4)
    assert model.recommend(3, 4) == learn.recommend(3, 4, seen=True)
    with pytest.raises(ArgumentError, match="book 1"):
        model.nearest("bok 1")


def test_a_network_for_other_columns_is_refused(label: Path, stars: Path, tmp_path: Path) -> None:
    def shorter(content: dict[str, Any]) -> None:
        content["inputs"][0]["categories"][0]["vocab"].pop()

    def fewer(content: dict[str, Any]) -> None:
        content["inputs"][0]["numbers"] = content["inputs"][0]["numbers"][:-1]

    def readers(content: dict[str, Any]) -> None:
        content["inputs"][0]["item"]["vocab"].pop()

    def huge(content: dict[str, Any]) -> None:
        content["model"]["table"]["layers"] = [10**9, 10**9]

    def many(content: dict[str, Any]) -> None:
        content["model"]["n_factors"] = 10**9

    for path, change in ((label, huge), (stars, many)):
        with pytest.raises(BundleError, match="as large as its weights"):
            load_bundle(changed(path, tmp_path / "x.wiggly", change))
    for path, change in ((label, shorter), (label, fewer), (stars, readers)):
        with pytest.raises(BundleError):
            load_bundle(changed(path, tmp_path / "x.wiggly", change))


def changed(path: Path, to: Path, change: Any) -> Path:
    entries = entries_of(path)
    content = json.loads(entries["model.json"])
    change(content)
    files = {name: entries[name] for name in content["files"]}
    return rewrite(to, forged(read_manifest(json.dumps(content), "x"), files))


# --- damaged manifests --------------------------------------------------------------------------------------
STRANGE: list[Any] = [None, True, -1, 0, 3, 2.5, 1e300, 10**30, "", "x", "../x", [], [1], {}, {"a": 1}, [[]]]


def leaves(value: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in a JSON value."""
    found = [where] if where else []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        found += leaves(part, (*where, key))
    return found


def damaged(content: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    made = json.loads(json.dumps(content))
    *way, last = draw.choice(leaves(made))
    place: Any = made
    for step in way:
        place = place[step]
    if draw.random() < 0.3:
        del place[last]
    else:
        place[last] = draw.choice(STRANGE)
    return made


@pytest.mark.parametrize("which", ["label", "number", "labels", "stars"])
def test_damaged_manifests_raise_nothing_but_our_errors(which: str, stars: Path, tmp_path: Path) -> None:
    path = stars if which == "stars" else trained(which).export(tmp_path / "x.wiggly", graph=False)
    entries = entries_of(path)
    content, draw = json.loads(entries["model.json"]), random.Random(5)
    outcomes = {"refused": 0, "read": 0}
    for _ in range(250):
        text = json.dumps(damaged(content, draw))
        try:
            manifest = read_manifest(text, "x")
            Predictor(Archive(manifest, {n: entries.get(n, b"") for n in manifest.files})).verify()
            outcomes["read"] += 1
        except WigglyError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 100, outcomes


# --- real tables --------------------------------------------------------------------------------------------
def test_titanic(shared: Path, tmp_path: Path) -> None:
    train = pd.read_csv(shared / "data" / "tabular" / "titanic_train.csv")
    test = pd.read_csv(shared / "data" / "tabular" / "titanic_test.csv")
    dls = TabularDataLoaders.from_df(train, y_names="Survived", seed=1, verbose=False)
    learn = tabular_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(2, 1e-2)
    predictor = load_bundle(learn.export(tmp_path / "titanic.wiggly", graph=False))
    assert predictor.vocab == [0, 1]
    wanted = learn.get_preds(dl=dls.test_dl(test))[0]
    assert torch.allclose(predictor.get_preds(test)[0], wanted, atol=1e-6)
    from_file = predictor.get_preds(shared / "data" / "tabular" / "titanic_test.csv")[0]
    assert torch.allclose(from_file, wanted, atol=1e-6)


def test_california(shared: Path, tmp_path: Path) -> None:
    table = pd.read_csv(shared / "data" / "tabular" / "california_housing.csv").head(2000)
    dls = TabularDataLoaders.from_df(table, y_names="median_house_value", bs=256, seed=1, verbose=False)
    learn = tabular_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    predictor = load_bundle(learn.export(tmp_path / "homes.wiggly", graph=False))
    output = predictor.manifest.outputs[0]
    assert isinstance(output, NumbersOutput) and output.names == ("median_house_value",)
    assert isinstance(predictor.manifest.inputs[0], TableInput)
    wanted = learn.get_preds(dl=dls.test_dl(table))[0]
    assert torch.allclose(predictor.get_preds(table)[0], wanted, rtol=1e-5)


def test_dates_in_rows_may_be_text(label: Path) -> None:
    predictor, row = load_bundle(label), people().drop(columns=TARGETS).iloc[0].to_dict()
    probs = predictor.predict(row).probs
    day: datetime = row["since"].to_pydatetime()
    assert torch.equal(predictor.predict({**row, "since": day.date().isoformat()}).probs, probs)
    other = predictor.predict({**row, "since": (day + timedelta(days=900)).isoformat()}).probs
    assert not torch.equal(other, probs)
