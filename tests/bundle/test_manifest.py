"""model.json: round trip, the committed schema, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.bundle.support import manifest

import wiggly.bundle.manifest as module
from wiggly.bundle.manifest import VERSION, manifest_schema, read_manifest, write_manifest
from wiggly.bundle.parts import CategoryOutput, Score
from wiggly.errors import BundleError

SCORE = Score(name="accuracy", value=0.9, n=210, interval=(0.85, 0.94), baseline=0.19, baseline_label="ant")


def changed(**changes: Any) -> str:
    content = json.loads(write_manifest(manifest()))
    content.update(changes)
    return json.dumps(content)


def test_round_trip_keeps_everything() -> None:
    made = manifest(score=SCORE, metrics={"error_rate": 0.1}, licence="CC-BY-4.0", title="Käfer – 甲虫 <b>")
    assert read_manifest(write_manifest(made), "x") == made


def test_written_manifest_fits_the_schema() -> None:
    content = json.loads(write_manifest(manifest(score=SCORE)))
    jsonschema.Draft202012Validator(manifest_schema()).validate(content)
    assert content["$schema"] == manifest_schema()["$id"]


def test_committed_schema_is_current() -> None:
    committed = Path(module.__file__).with_name("model.schema.json").read_text(encoding="utf-8")
    assert json.loads(committed) == manifest_schema(), "run: python -m wiggly.bundle.manifest"


def test_newer_version_says_what_to_install() -> None:
    with pytest.raises(BundleError, match=r'pip install --upgrade "wiggly>=7.1"') as caught:
        read_manifest(changed(version=VERSION + 1, wiggly="7.1", surprise=[1]), "cats.wiggly")
    assert "cats.wiggly" in str(caught.value)


def test_newer_version_puts_no_foreign_text_into_a_command() -> None:
    with pytest.raises(BundleError) as caught:
        read_manifest(changed(version=VERSION + 1, wiggly='1.0"; rm -rf ~; "'), "cats.wiggly")
    assert "rm -rf" not in caught.value.fix


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "Expecting value"),
        ("[1, 2]", "list"),
        ("[" * 100_000, "recursion"),
        ('{"format": NaN}', "NaN is not JSON"),
        (b"\xff\xfe\x00", "codec can"),
        ('{"format": "other", "version": 1}', "format 'other'"),
        ('{"format": "wiggly-bundle", "version": "1"}', "version '1'"),
        (changed(version=0), "`version`"),
        (changed(task="dancing"), "`task`"),
        (changed(outputs=[]), "`outputs`"),
        (changed(surprise=1), "`surprise`"),
        (changed(files={}), "weights.safetensors"),
        (
            changed(examples=[{"file": "a.png", "label": "ant", "actual": None, "probabilities": [1, 0, 0]}]),
            "a.png",
        ),
        (
            changed(
                examples=[{"file": "examples/1.png", "label": "ant", "actual": None, "probabilities": [1]}]
            ),
            "probabilities",
        ),
        (
            changed(
                outputs=[{"kind": "category", "vocabulary": ["a", "a"], "activation": "softmax"}], examples=[]
            ),
            "one class twice",
        ),
    ],
)
def test_refuses(text: str | bytes, part: str) -> None:
    with pytest.raises(BundleError, match=part) as caught:
        read_manifest(text, "cats.wiggly")
    assert "cats.wiggly" in str(caught.value)


def test_true_and_one_are_two_classes() -> None:
    made = manifest(outputs=(CategoryOutput("category", (True, 1, "1"), "softmax"),), examples=())
    assert [type(label) for label in read_manifest(write_manifest(made), "x").outputs[0].vocabulary] == [
        bool,
        int,
        str,
    ]
