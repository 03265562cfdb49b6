"""The whole preflight on real photos: every planted fault is found, and nothing else is said."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.vision.check.planted import COPYING, Planted, copied, plant, text_page, write_folder

from wiggly.vision.check import DataCheck, check_folder

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "root", "items", "sides", "classes", "seconds", "ok", "findings"],
    "properties": {
        "schema": {"const": 1},
        "root": {"type": "string"},
        "items": {"type": "integer"},
        "sides": {"type": "object", "additionalProperties": {"type": "integer"}},
        "classes": {"type": "object", "additionalProperties": {"type": "integer"}},
        "seconds": {"type": "number"},
        "ok": {"type": "boolean"},
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    *("kind", "severity", "count", "message", "fix"),
                    *("items", "details", "groups", "spare"),
                ],
                "properties": {
                    "kind": {"type": "string", "pattern": "^[a-z-]+$"},
                    "severity": {"enum": ["error", "warning", "note"]},
                    "count": {"type": "integer"},
                    "message": {"type": "string", "pattern": "^[^\n]+$"},
                    "fix": {"type": "string", "pattern": "^[^\n]+$"},
                    "items": {"type": "array", "items": {"type": "string"}},
                    "details": {"type": "array", "items": {"type": "string"}},
                    "groups": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
                    "spare": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def photos(shared: Path) -> list[Path]:
    """Photos of different animals; Abyssinians are left out: the set itself has copies of some."""
    found = sorted((shared / "data" / "pets" / "images").glob("*.jpg"))
    return [photo for photo in found if not photo.name.startswith("Abyssinian")]


@pytest.fixture(scope="module")
def planted(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant(tmp_path_factory.mktemp("planted") / "photos", photos[:120])


@pytest.fixture(scope="module")
def found(planted: Planted) -> DataCheck:
    return check_folder(planted.folder, groups=r"(patient\d+)_")


def test_every_planted_fault_is_found_and_nothing_else(planted: Planted, found: DataCheck) -> None:
    assert {finding.kind: set(finding.items) for finding in found.findings} == planted.expected


def test_findings_come_with_errors_first_and_a_fix_in_one_line(found: DataCheck) -> None:
    order = [("error", "warning", "note").index(finding.severity) for finding in found.findings]
    assert order == sorted(order)
    for finding in found.findings:
        assert finding.fix
        assert "\n" not in finding.fix + finding.message
        assert "{" not in finding.fix.replace("-I{}", "")


def test_reasons_say_what_a_file_is(found: DataCheck) -> None:
    reasons = dict(zip(found["unreadable"].items, found["unreadable"].details, strict=True))
    assert reasons["train/cat/empty.jpg"] == "the file is empty (0 bytes)"
    assert reasons["train/cat/archive.jpg"] == "it is a zip archive"
    assert "web page" in reasons["train/cat/page.jpg"]
    assert "HEIC" in reasons["train/cat/heic.jpg"]
    assert reasons["train/cat/cut.jpg"].startswith("cut off")


def test_spare_copies_leave_one_of_each_and_that_of_validation(planted: Planted, found: DataCheck) -> None:
    assert found.spare("exact-across") == [planted.folder / "train/dog/shown.jpg"]
    assert found.spare("near-across") == [planted.folder / "train/dog/shown_again.jpg"]
    near = found["near-copies"]
    assert len(near.spare) == len(near.items) - len(near.groups)
    assert found.spare("no such kind") == []
    assert set(found.spare("copies")) >= set(found.spare("near-copies") + found.spare("exact-across"))


def test_without_its_spare_copies_the_folder_has_none(photos: list[Path], tmp_path: Path) -> None:
    made = write_folder(tmp_path / "photos", photos)
    for how in ("half the size", "3 % cropped"):
        made.put(f"train/cat/{how[0]}.jpg", copied(photos[45], how))  # photos[45] is in validation
    before = check_folder(made.folder)
    assert before["near-across"].groups
    for path in before.spare("copies"):
        path.unlink()
    assert check_folder(made.folder).findings == []


def test_json_follows_its_schema(found: DataCheck, tmp_path: Path) -> None:
    text = found.to_json(tmp_path / "check.json")
    jsonschema.validate(json.loads(text), SCHEMA)
    assert json.loads((tmp_path / "check.json").read_text()) == json.loads(text)


def test_text_and_notebook_table_name_each_finding(found: DataCheck) -> None:
    for shown in (str(found), found._repr_html_()):
        assert [finding.kind for finding in found.findings if finding.kind not in shown] == []
    assert "<script>" not in DataCheck(found.findings, "<script>")._repr_html_()


def test_a_sound_folder_has_no_findings(photos: list[Path], tmp_path: Path) -> None:
    made = write_folder(tmp_path / "photos", photos)
    found = check_folder(made.folder)
    assert found.findings == []
    assert found.ok
    assert found.sides == {"train": 40, "valid": 20}
    assert "nothing found" in str(found)


@pytest.mark.parametrize("name", ["hymenoptera", "voc2007_sub/images", "coco_tiny/train", "camvid/images"])
def test_photo_sets_raise_no_false_alarm(shared: Path, name: str) -> None:
    found = check_folder(shared / "data" / name)
    assert [str(finding) for finding in found.findings if finding.severity != "note"] == []


def test_the_real_copies_in_the_pets_are_found_and_no_others(shared: Path) -> None:
    # Each looked at: the same photo resized, cropped, or with another watermark.
    copies = [{11, 177}, {122, 172}, {99, 151}, {24, 56, 80}, {40, 63}, {5, 87}, {66, 82}]
    found = check_folder(shared / "data" / "pets" / "images", label_regex=r"^(.+)_\d+\.jpg$")
    named = [
        {found[kind].items[p] for p in group}
        for kind in ("near-across", "near-copies")
        for group in found[kind].groups
    ]
    expected = [{f"Abyssinian_{k}.jpg" for k in group} for group in copies]
    assert sorted(map(sorted, named)) == sorted(map(sorted, expected))
    assert {f.kind for f in found.findings if f.severity != "note"} == {"near-across", "near-copies"}


@pytest.mark.parametrize("how", COPYING)
def test_copies_are_found_whatever_was_done_to_them(photos: list[Path], tmp_path: Path, how: str) -> None:
    for k, photo in enumerate(photos[::12][:60]):
        (tmp_path / f"{k:02}a.jpg").write_bytes(photo.read_bytes())
        (tmp_path / f"{k:02}b.jpg").write_bytes(copied(photo, how))
    found = check_folder(tmp_path)
    groups = [
        [finding.items[p] for p in group]
        for finding in found.findings
        if finding.kind in ("near-copies", "near-across")
        for group in finding.groups
    ]
    assert sorted(map(sorted, groups)) == [[f"{k:02}a.jpg", f"{k:02}b.jpg"] for k in range(60)]


def test_pages_in_one_layout_are_no_copies_but_their_scans_are(tmp_path: Path) -> None:
    for seed in range(6):
        text_page(seed).save(tmp_path / f"page{seed:02}.png")
    assert check_folder(tmp_path).findings == []
    text_page(3).convert("L").resize((600, 825)).save(tmp_path / "page03_scan.jpg", quality=70)
    kinds = [finding for finding in check_folder(tmp_path).findings if finding.kind.startswith("near")]
    assert [sorted(finding.items) for finding in kinds] == [["page03.png", "page03_scan.jpg"]]


def test_digits_and_empty_pictures_are_no_copies_of_each_other(digits_folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    assert check_folder(digits_folder).findings == []
    for k, shade in itertools.product(range(4), (0, 128, 255)):
        Image.new("RGB", (100 + k, 80), (shade, shade, shade)).save(tmp_path / f"{shade}_{k}.png")
    assert check_folder(tmp_path).findings == []


def test_the_same_thing_in_another_colour_is_no_copy(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    shape = np.zeros((200, 200, 3), dtype=np.uint8) + 255
    random = np.random.default_rng(0)
    for _ in range(40):
        y, x = random.integers(0, 160, 2)
        shape[y : y + 30, x : x + 30] = (200, 60, 60)
    Image.fromarray(shape).save(tmp_path / "red.png")
    Image.fromarray(np.ascontiguousarray(shape[:, :, ::-1])).save(tmp_path / "blue.png")
    assert check_folder(tmp_path).findings == []
