"""`wiggly verify` and `wiggly info`: the table, the exit status, the card."""

from __future__ import annotations

import builtins
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.bundle.support import train_digits

from wiggly.bundle import proof
from wiggly.bundle.archive import describe_file, read_archive, write_archive
from wiggly.bundle.card import CARD, body_of, card_of
from wiggly.bundle.measured import Quality
from wiggly.bundle.parts import CategoryOutput, Example, Unsure
from wiggly.cli import main

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def bundle(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verify") / "digits.wiggly"
    return train_digits(digits_folder, epochs=2).export(path)


def test_the_table(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle)]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["runtime", "version", "examples"]
    assert [row.split()[0] for row in rows] == ["pytorch", "onnxruntime"]
    assert all(row.endswith("ok") and "10 of 10" in row for row in rows)


def test_as_json(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle), "--runtime", "onnxruntime", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    [row] = told["runtimes"]
    assert told["ok"] and row["examples"] == row["same_labels"] == 10
    assert row["largest_difference"] <= 1e-4 and row["milliseconds"] > 0


def with_example(bundle: Path, to: Path, **changes: Any) -> Path:
    """The bundle with another first example, all hashes right."""
    archive = read_archive(bundle)
    first, *others = archive.manifest.examples
    assert isinstance(first, Example)
    examples = (dataclasses.replace(first, **changes), *others)
    write_archive(to, dataclasses.replace(archive.manifest, examples=examples), archive.files)
    return to


def test_another_label_fails(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = read_archive(bundle).manifest.examples[0]
    assert isinstance(first, Example)
    other = "1" if first.label == "0" else "0"
    path = with_example(bundle, tmp_path / "x.wiggly", label=other)
    assert main(["verify", str(path)]) == 1
    said = capsys.readouterr().out
    assert "9 of 10" in said and said.count("DIFFERS") == 2
    assert f"onnxruntime: '{first.file}' gives another label" in said


def test_a_difference_fails(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = read_archive(bundle).manifest.examples[0]
    assert isinstance(first, Example)
    moved = (first.probabilities[0] + 2e-4, *first.probabilities[1:])
    path = with_example(bundle, tmp_path / "x.wiggly", probabilities=moved)
    assert main(["verify", str(path)]) == 1
    assert "0.0002 off" in capsys.readouterr().out
    assert main(["verify", str(path), "--tolerance", "1e-3"]) == 0


def test_without_torch(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "find_spec", lambda name: None if name == "torch" else object())
    assert main(["verify", str(bundle)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split()[0] == "pytorch" and rows[1].endswith("not installed")
    assert rows[2].endswith("ok")


def test_errors(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "gone.wiggly")]) == 1
    assert main(["verify", str(bundle), "--runtime", "abacus"]) == 1
    assert "['pytorch', 'onnxruntime']" in capsys.readouterr().err


def test_no_graph_is_no_failure(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = read_archive(bundle)
    files = {name: content for name, content in archive.files.items() if name != "model.onnx"}
    listed = {name: describe_file(content) for name, content in files.items()}
    manifest = dataclasses.replace(
        archive.manifest, graphs=(), no_graph="operator x is unknown.", files=listed
    )
    write_archive(tmp_path / "x.wiggly", manifest, files)
    assert main(["verify", str(tmp_path / "x.wiggly")]) == 0
    assert "no graph: operator x is unknown." in capsys.readouterr().out


def test_info_prints_the_card(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("# Digits") and "## How good it is" in said and "library_name" not in said


def test_the_card(bundle: Path) -> None:
    archive = read_archive(bundle)
    text = archive.files[CARD].decode()
    assert text == card_of(dataclasses.replace(archive.manifest))
    assert text.startswith("---\n")
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["library_name"] == "wiggly"
    assert metadata["pipeline_tag"] == "image-classification"
    assert {"wiggly", "classification", "onnx"} <= set(metadata["tags"])
    score = archive.manifest.score
    assert score is not None
    body = body_of(text)
    for told in (
        f"**{score.value:.1%}** of {score.n:,}",
        "interval",
        "Always answering",
        "## Classes",
        "ONNX",
    ):
        assert told in body


def test_what_the_card_says_of_doubt_and_terms(bundle: Path) -> None:
    manifest = read_archive(bundle).manifest
    [output] = manifest.outputs
    assert isinstance(output, CategoryOutput)
    doubting = dataclasses.replace(output, unsure=Unsure(0.4321, 0.125, 0.97, 0.95, 200))
    told = dataclasses.replace(
        manifest, outputs=(doubting,), licence="CC-BY-4.0", title="<script> # *x*", description="a\n\n# b"
    )
    text = card_of(told)
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "cc-by-4.0"
    assert "below **43.2%** is **unsure**" in text and "12.5% were unsure" in text and "97.0%" in text
    assert "<script>" not in text and "\n# b" not in text


def test_neither_needs_torch(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def never(name: str, *rest: Any) -> Any:
        assert name.split(".")[0] != "torch", "torch was imported"
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", never)
    assert main(["info", str(bundle)]) == 0
    assert main(["verify", str(bundle), "--runtime", "onnxruntime"]) == 0


def test_predict_without_torch(bundle: Path, digits_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = str(sorted((digits_folder / "3").iterdir())[0])
    assert main(["predict", str(bundle), photo, "--json", "--top", "2"]) == 0
    wanted = json.loads(capsys.readouterr().out)
    assert main(["predict", str(bundle), photo, "--json", "--top", "2", "--runtime", "onnx"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["label"] == wanted[0]["label"] and len(found["labels"]) == 2
    assert found["probability"] == pytest.approx(wanted[0]["probability"], abs=1e-5)


def test_a_guess_is_said_to_be_one(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = read_archive(bundle)
    [output] = archive.manifest.outputs
    doubting = dataclasses.replace(output, unsure=Unsure(1.1, 1.0, 1.0, 1.0, 50))
    manifest = dataclasses.replace(archive.manifest, outputs=(doubting,))
    write_archive(tmp_path / "x.wiggly", manifest, archive.files)
    picture = tmp_path / "digit.png"
    picture.write_bytes(archive.files[archive.manifest.examples[0].file])
    assert main(["predict", str(tmp_path / "x.wiggly"), str(picture)]) == 0
    assert ": not sure: maybe " in capsys.readouterr().out
    assert main(["predict", str(tmp_path / "x.wiggly"), str(picture), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["unsure"] is True


def test_rows_without_torch_are_json() -> None:
    from wiggly.cli.using import _check_rows
    from wiggly.errors import ArgumentError

    _check_rows("onnx", True)
    with pytest.raises(ArgumentError, match="needs --json"):
        _check_rows("onnx", False)


@pytest.fixture(scope="module")
def with_variants(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `wiggly train` writes when it is asked for smaller graphs."""
    path = tmp_path_factory.mktemp("variants") / "digits.wiggly"
    words = [
        "--arch",
        "test_resnet",
        "--no-pretrained",
        "--size",
        "32",
        "--epochs",
        "15",
        "--lr",
        "1e-2",
        "--bs",
        "16",
        "--no-flip",
    ]
    about = ["--title", "Ten digits", "--licence", "CC0-1.0", "--examples", "3", "--wanted-accuracy", "0.7"]
    smaller = ["--variant", "fp16", "--variant", "int8", "--bound", "0.3"]
    assert main(["train", str(digits_folder), "--out", str(path), *words, *about, *smaller]) == 0
    return path


@pytest.mark.slow
def test_train_writes_what_it_is_asked_for(with_variants: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = read_archive(with_variants).manifest
    assert (manifest.title, manifest.licence, len(manifest.examples)) == ("Ten digits", "CC0-1.0", 3)
    assert [one.precision for one in manifest.quality] == ["float16", "int8"]
    assert {one.bound for one in manifest.quality} == {0.3}
    assert manifest.outputs[0].unsure is None or manifest.outputs[0].unsure.wanted == 0.7  # type: ignore[union-attr]
    assert main(["info", str(with_variants)]) == 0
    said = capsys.readouterr().out
    for one in manifest.quality:
        kept = "kept" if one.kept else "not kept"
        assert f"- {one.precision}: {one.metric} {one.value:.4g} beside {one.float32:.4g}" in said
        assert f"on {one.n:,} validation items; {kept} (bound 0.3)" in said
    assert "calibrat" in said.lower() and "unsure" in said and "CC0-1.0" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--variant", "fp16", "--bound", "2"], "`bound` must be in [0, 1)"),
        (["--wanted-accuracy", "1.5"], "`--wanted-accuracy` must be in (0, 1]"),
        (["--examples", "-1"], "`--examples` must be at least 0"),
    ],
)
def test_options_of_the_bundle_are_checked_before_training(
    words: list[str], said: str, digits_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "x.wiggly"), "--arch", "no_such_network"]
    assert main(["train", str(digits_folder), *out, *words]) == 1
    assert said in capsys.readouterr().err


def test_info_says_what_became_of_variants(bundle: Path) -> None:
    manifest = read_archive(bundle).manifest
    tried = (
        Quality("float16", "accuracy", 0.91, 0.92, 200, 0.02, True),
        Quality("int8", "accuracy", 0.8, 0.92, 200, 0.02, False),
    )
    said = body_of(card_of(dataclasses.replace(manifest, quality=tried)))
    assert (
        "- float16: accuracy 0.91 beside 0.92 of float32 on 200 validation items; kept (bound 0.02)" in said
    )
    assert (
        "- int8: accuracy 0.8 beside 0.92 of float32 on 200 validation items; not kept (bound 0.02)" in said
    )
