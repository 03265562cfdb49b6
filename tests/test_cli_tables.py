"""The command line on tables: train, predict, lr-find; and on models that say more than a label."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.bundle.test_kinds import learned, photo
from tests.test_cli import run

import wiggly
from wiggly.bundle.rows import RowReader


def people(n: int = 200) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    age = draw.integers(18, 70, n)
    return pd.DataFrame(
        {
            "age": age.astype(float),
            "city": draw.choice(["Rome", "Oslo", None], n),
            "zip": draw.integers(1, 30, n),
            "wage": (age * 100 + draw.normal(0, 50, n)).round(),
            "income": np.where(age > 44, "high", "low"),
        }
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    people().to_csv("people.csv", index=False)
    return tmp_path


def test_from_a_table_to_predictions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "train", "people.csv", "--target", "income", "--epochs", "2", "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert "2 numbers" in err or "3 numbers" in err, "the kinds are printed"
    assert "160 training and 40 validation rows; predicts income: high, low" in err
    assert summary["classes"] == ["high", "low"] and summary["score"]["value"] == summary["accuracy"]
    assert summary["accuracy"] > summary["baseline"]
    assert (folder / "report.html").is_file()

    new = people(30).drop(columns="income")
    new.loc[3, "city"] = "Atlantis"
    new.to_csv("new.csv", index=False)
    code, out, err = run(capsys, "predict", "people.wiggly", "new.csv")
    assert code == 0 and "city: 1 value was not in training" in err
    found = pd.read_csv(io.StringIO(out))
    predictor = wiggly.load_bundle("people.wiggly")
    wanted = predictor.predict_batch(new)
    assert list(found.columns) == [*new.columns, "income_pred", "income_probability"]
    assert found["income_pred"].tolist() == [one.decoded for one in wanted]
    np.testing.assert_allclose(
        found["income_probability"], [float(one.probs.max()) for one in wanted], atol=1e-5
    )
    code, out, _ = run(capsys, "predict", "people.wiggly", "new.csv", "--json", "--top", "2")
    rows = json.loads(out)
    assert code == 0 and [row["label"] for row in rows] == found["income_pred"].tolist()
    assert sum(label["probability"] for label in rows[0]["labels"]) == pytest.approx(1, abs=1e-5)


def test_numbers_and_told_kinds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "people.csv", "--target", "wage", "--epochs", "1", "--out", "wage.wiggly", "--json"]
    code, out, err = run(capsys, *words, "--categories", "zip", "--leave-out", "income")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["score"]["name"] == "rmse" and summary["accuracy"] is None and summary["classes"] == []
    predictor = wiggly.load_bundle("wage.wiggly")
    reader = predictor.reader
    assert isinstance(reader, RowReader)
    assert reader.encoder.cat_names[:2] == ["city", "zip"] and reader.encoder.cont_names == ["age"]
    code, out, _ = run(capsys, "predict", "wage.wiggly", "people.csv")
    assert code == 0
    found = pd.read_csv(io.StringIO(out))["wage_pred"]
    np.testing.assert_allclose(found, predictor.get_preds(people())[0].numpy().ravel(), rtol=1e-4)
    two = ["train", "people.csv", "--target", "wage,age", "--epochs", "1", "--out", "two.wiggly"]
    code, _, err = run(capsys, *two)
    assert code == 0, err
    code, out, _ = run(capsys, "predict", "two.wiggly", "people.csv", "--json")
    assert list(json.loads(out)[0]["numbers"]) == ["wage", "age"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "age, city, zip, wage, income"),
        (["--target", "incom"], "Nearest: income"),
        (["--target", "income", "--leave-out", "zipp"], "Nearest: zip"),
        (["--target", "income", "--numbers", "income"], "'income' is named twice"),
        (["--target", "income", "--numbers", "city"], "'city' must hold numbers"),
        (["--target", "income", "--size", "64"], "--size is for pictures"),
        (["--target", "income", "--no-pretrained"], "--pretrained is for pictures"),
        (["--target", "income", "--arch", "resnet18"], "'resnet18'"),
    ],
)
def test_mistakes_are_named(
    words: list[str], named: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "train", "people.csv", *words)
    assert code == 1
    assert named in err and "Traceback" not in err
    assert [file.name for file in folder.iterdir()] == ["people.csv"]


def test_files_that_are_no_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.csv").write_bytes(b"\xff\xfe\x00")
    (folder / "empty.csv").write_bytes(b"")
    for name in ("bad.csv", "empty.csv", "gone.csv"):
        code, _, err = run(capsys, "train", name, "--target", "x")
        assert code == 1 and name in err and "Traceback" not in err
    code, _, err = run(capsys, "train", ".", "--target", "income")
    assert code == 1 and "--target is for a table" in err


def test_rows_that_cannot_be_read_are_named_and_the_others_predicted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "train", "people.csv", "--target", "income", "--epochs", "0")[0] == 0
    people(5).drop(columns="age").to_csv("lacking.csv", index=False)
    people(5).to_csv("good.csv", index=False)
    code, out, err = run(capsys, "predict", "people.wiggly", "lacking.csv", "good.csv")
    assert code == 1
    assert "lacking.csv" in err and "'age'" in err
    assert len(pd.read_csv(io.StringIO(out))) == 5


def test_lr_find_on_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "lr-find", "people.csv", "--target", "income", "--bs", "16", "--json")
    assert code == 0, err
    assert list(json.loads(out)) == ["valley", "slide", "steep", "minimum"]


# Models of pictures


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    files = [folder / f"{number}.png" for number in (1, 2)]
    for number, file in enumerate(files, 1):
        Image.fromarray(photo(number)).save(file)
    return files


@pytest.mark.parametrize("kind", ["mask", "points", "labels", "numbers"])
def test_what_pictures_say(
    kind: str, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = learned(kind).export(tmp_path / "model.wiggly")
    predictor, masks = wiggly.load_bundle(path), tmp_path / "masks"
    masks.mkdir()
    options = ["--masks", masks] if kind == "mask" else []
    code, out, _ = run(capsys, "predict", path, *photos, "--json", *options)
    rows: list[dict[str, Any]] = json.loads(out)
    assert code == 0
    for row, file in zip(rows, photos, strict=True):
        found = predictor.predict(file).decoded
        if kind == "mask":
            assert np.array_equal(np.asarray(Image.open(row["mask"])), np.asarray(found))
            assert sum(row["shares"].values()) == pytest.approx(1, abs=1e-3)
        elif kind == "points":
            np.testing.assert_allclose(row["points"], found, atol=0.01)
        elif kind == "labels":
            assert row["named"] == found and list(row["probabilities"]) == ["five", "three", "two"]
        else:
            np.testing.assert_allclose(list(row["numbers"].values()), found, rtol=1e-5)
    code, out, _ = run(capsys, "predict", path, *photos)
    assert code == 0 and [line.partition(":")[0] for line in out.splitlines()] == list(map(str, photos))
    if kind != "mask":
        code, _, err = run(capsys, "predict", path, *photos, "--masks", masks)
        assert code == 1 and "--masks" in err
