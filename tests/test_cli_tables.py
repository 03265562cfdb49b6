"""The command line on tables: train, predict, lr-find; and on models that say more than a label."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
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
        (["--target", "INCOME"], "Nearest: income"),
        (["--target", "zzz"], "The columns are age, city, zip, wage, income."),
        (["--target", "zzz"], "--target must be among the columns"),
        (["--target", "wage", "--user", "zip"], "--item was not given"),
        (["--target", "wage", "--user", "zip", "--item", "town"], "there is no 'town'"),
        (
            ["--target", "wage", "--user", "zip", "--item", "city", "--arch", "mlp"],
            "--arch is for other tables",
        ),
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


def test_cells_come_back_as_they_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "train", "people.csv", "--target", "income", "--epochs", "0")[0] == 0
    rows = ['42, Rome,007,1e3, "a, ""b"" ",NA', "43.0,Oslo ,8,1000.50,'x',null", '44,,9,1,"two\r\nlines",']
    names = 'age, city,zip,wage,"no,te",empty'
    (folder / "new.csv").write_bytes(("\ufeff" + "\r\n".join([names, *rows, "", ""])).encode())
    code, out, _ = run(capsys, "predict", "people.wiggly", "new.csv")
    assert code == 0
    text = out
    for written in [names, *rows]:
        assert text.startswith(f"{written},"), (written, text)
        text = text[text.index("\n", len(written)) + 1 :]
    assert not text
    again = [line.rsplit(",", 2)[0] for line in out.replace("two\r\nlines", "two").splitlines()]
    assert again == [names, *(row.replace("two\r\nlines", "two") for row in rows)]


def test_tables_of_several_forms_below_each_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "train", "people.csv", "--target", "income", "--epochs", "0")[0] == 0
    new = people(3).drop(columns="income")
    new.to_csv("comma.csv", index=False)
    new[["wage", "zip", "city", "age"]].assign(more="a,b").to_csv("semicolon.csv", index=False, sep=";")
    new.head(0).to_csv("none.csv", index=False)
    new.astype({"zip": "Int64"}).to_parquet("rows.parquet")
    code, out, err = run(
        capsys, "predict", "people.wiggly", "comma.csv", "none.csv", "semicolon.csv", "rows.parquet"
    )
    found = pd.read_csv(io.StringIO(out))
    assert code == 0 and not err
    assert list(found.columns) == [*new.columns, "income_pred", "income_probability", "more"]
    for first in (3, 6):
        part = found[first : first + 3].reset_index(drop=True)
        pd.testing.assert_frame_equal(part[[*new.columns]], found[[*new.columns]].head(3))
        assert part["income_pred"].tolist() == found["income_pred"].head(3).tolist()
    assert found["more"].tolist()[3:6] == ["a,b"] * 3
    code, out, _ = run(capsys, "predict", "people.wiggly", "none.csv")
    assert code == 0 and out == "age,city,zip,wage,income_pred,income_probability\n"


def test_a_bundle_is_scored_on_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "people.csv", "--target", "income", "--epochs", "2", "--seed", "3", "--json"]
    trained = json.loads(run(capsys, *words)[1])
    code, out, err = run(capsys, "report", "people.wiggly", "people.csv", "--seed", "3", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["warning"] is None and "careful" not in err
    assert (found["n"], found["accuracy"]) == (40, pytest.approx(trained["accuracy"]))
    assert found["baselines"]["gradient boosting"] >= 0
    page = (folder / "people-on-people.html").read_text()
    assert "scored on &#x27;people.csv&#x27;" in page or "scored on 'people.csv'" in page
    code, _, err = run(capsys, "report", "people.wiggly", "people.csv", "--seed", "4")
    assert code == 0 and "careful: in training" in err
    code, out, _ = run(capsys, "report", "people.wiggly", "people.csv", "--all", "--json")
    predicted = wiggly.load_bundle("people.wiggly").predict_batch(people())
    right = np.mean([one.decoded == label for one, label in zip(predicted, people()["income"], strict=True)])
    assert code == 0 and json.loads(out)["n"] == 200
    assert json.loads(out)["accuracy"] == pytest.approx(right)
    people(20).drop(columns="income").to_csv("unlabelled.csv", index=False)
    code, _, err = run(capsys, "report", "people.wiggly", "unlabelled.csv")
    assert code == 1 and "there is no 'income'" in err
    code, _, err = run(capsys, "report", "people.wiggly", ".")
    assert code == 1 and "a model of a table is scored on a .csv" in err


def test_numbers_and_several_targets_are_scored(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target, arch in (("wage", "mlp"), ("wage,income", "mlp")):
        words = ["train", "people.csv", "--target", target, "--arch", arch, "--epochs", "1", "--json"]
        code, out, err = run(capsys, *words)
        assert code == 0, err
        score = json.loads(out)["score"]
        code, out, err = run(capsys, "report", "people.wiggly", "people.csv", "--json")
        assert code == 0, err
        if score is not None:
            assert json.loads(out)["score"]["value"] == pytest.approx(score["value"], rel=1e-4)


def test_ratings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(0)
    ratings = pd.DataFrame({"stars": draw.integers(1, 6, 400), "film": draw.integers(0, 20, 400)})
    ratings["who"] = [f"person {k}" for k in draw.integers(0, 30, 400)]
    ratings.to_csv("ratings.csv", index=False)
    code, out, err = run(
        capsys, "train", "ratings.csv", "--user", "who", "--item", "film", "--target", "stars", "--json"
    )
    assert code == 0, err
    assert "30 users (who), 20 items (film), 400 ratings (stars) from 1 to 5" in err
    score = json.loads(out)["score"]
    predictor = wiggly.load_bundle("ratings.wiggly")
    assert predictor.manifest.task == "recommendation"
    assert predictor.manifest.model["y_range"] == [0.5, 5.5]
    code, out, err = run(capsys, "report", "ratings.wiggly", "ratings.csv", "--json")
    assert code == 0, err
    assert json.loads(out)["score"]["value"] == pytest.approx(score["value"], rel=1e-4)
    code, out, _ = run(capsys, "predict", "ratings.wiggly", "ratings.csv")
    assert code == 0 and pd.read_csv(io.StringIO(out))["stars_pred"].between(0.5, 5.5).all()
    assert (
        run(capsys, "lr-find", "ratings.csv", "--user", "who", "--item", "film", "--target", "stars")[0] == 0
    )


@pytest.mark.parametrize("words", [["compare", "--archs", "mlp"], ["data", "check"]])
def test_what_is_for_pictures_says_what_works_for_tables(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *words, "people.csv")
    assert code == 1
    assert "'people.csv' is a table" in err and "wiggly train FILE --target COLUMN" in err


def test_a_note_on_replacing_comes_when_the_data_are_good(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "people.csv", "--epochs", "0", "--target"]
    assert run(capsys, *words, "income")[0] == 0
    code, out, err = run(capsys, *words, "incomes")
    assert code == 1 and "is there already" not in out + err
    code, out, err = run(capsys, *words, "income")
    assert code == 0 and "'people.wiggly' is there already" in out


def test_no_option_has_a_stray_opposite(capsys: pytest.CaptureFixture[str]) -> None:
    verbs = ["train", "predict", "app", "report", "lr-find", "compare", "data check", "run", "clean apply"]
    for verb in [*verbs, "notebook export", "notebook clean"]:
        _, out, err = run(capsys, *verb.split(), "--help")
        assert "--empty" not in out + err and "()" not in out + err, verb


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


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "kind", ["labels", *[pytest.param(kind, marks=SLOW) for kind in ("mask", "points", "numbers")]]
)
def test_what_pictures_say(
    kind: str, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = learned(kind).export(tmp_path / "model.wiggly")
    predictor, masks = wiggly.load_bundle(path), tmp_path / "not yet" / "masks"
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


@pytest.mark.slow
def test_whole_numbers_are_labels_or_numbers_as_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = people().assign(
        sold=lambda rows: (rows["age"] > 44).astype(int), rooms=lambda rows: rows["zip"] % 4
    )
    table.to_csv("homes.csv", index=False)
    words = ("train", "homes.csv", "--epochs", "0", "--json", "--force", "--target")
    code, out, err = run(capsys, *words, "rooms", "--task", "labels")
    assert code == 0 and json.loads(out)["classes"] == [0, 1, 2, 3], err
    code, out, err = run(capsys, *words, "sold", "--task", "numbers")
    assert code == 0 and json.loads(out)["classes"] == [], err
    code, _, err = run(capsys, *words, "sold")
    assert "--task numbers to predict numbers" in err and "y_block" not in err
    code, _, err = run(capsys, *words, "rooms")
    assert "--task labels to predict labels" in err and "y_block" not in err
    code, _, err = run(capsys, *words, "income")
    assert "leave it out (--leave-out 'age')" in err and "df.drop" not in err
    assert run(capsys, *words, "rooms,sold", "--task", "labels")[0] == 0


def test_rows_come_through_a_pipe(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "train", "people.csv", "--target", "income", "--epochs", "0", "--json")[0] == 0
    _, wanted, _ = run(capsys, "predict", "people.wiggly", "people.csv")
    command = [sys.executable, "-m", "wiggly", "predict", "people.wiggly"]
    people().to_parquet("people.parquet")
    for name, content in (("-", "people.csv"), ("/dev/stdin", "people.csv"), ("-", "people.parquet")):
        piped = Path(content).read_bytes()
        environment = {**os.environ, "PYTHONPATH": str(Path(wiggly.__file__).parents[1])}
        done = subprocess.run([*command, name], input=piped, capture_output=True, check=True, env=environment)
        found = pd.read_csv(io.BytesIO(done.stdout))
        pd.testing.assert_frame_equal(found, pd.read_csv(io.StringIO(wanted)))
