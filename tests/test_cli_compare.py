"""`wiggly compare` on a folder of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from wiggly.cli import main


def test_compare_prints_a_table_and_draws(
    digits_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "networks.png"
    options = ["--archs", "test_resnet, no_such_net", "--no-pretrained", "--epochs", "1", "--size", "32"]
    status = main(["compare", str(digits_folder), *options, "--plot", str(plot), "--json"])
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert status == 0
    assert [row["arch"] for row in found["rows"]] == ["test_resnet", "no_such_net"]
    assert 0 <= found["rows"][0]["score"] <= 1
    assert "Start simple" in told.err
    with Image.open(plot) as image:
        assert image.width > 400


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--archs", "test_resnet", "--budget", "soon"], "--budget"),
        (["--archs", "test_resnet", "--weights", "file.safetensors"], "NAME=FILE"),
        (["--archs", " , "], "--archs"),
    ],
)
def test_what_is_wrong_is_said(
    digits_folder: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(digits_folder), *options, "--size", "32"]) == 1
    assert words in capsys.readouterr().err


def test_none_could_be_trained(digits_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(digits_folder), "--archs", "no_such_net", "--size", "32"]) == 1
    assert "left out" in capsys.readouterr().out
