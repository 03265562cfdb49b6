"""What reports and programs are told about edits."""

from __future__ import annotations

import json
from pathlib import Path

from tests.clean.support import edited_folder

from wiggly import ImageDataLoaders, clean_copy
from wiggly.interpret.gather import data_facts


def test_a_report_on_a_model_says_how_many_edits_its_data_had(tmp_path: Path) -> None:
    journal = edited_folder(tmp_path / "data")
    how = {"valid_pct": 0.3, "seed": 1, "num_workers": 0, "device": "cpu"}
    for edits in (None, journal):
        dls = ImageDataLoaders.from_folder(tmp_path / "data", edits=edits, **how)  # pyright: ignore[reportArgumentType]
        facts = data_facts(json.loads(json.dumps(dls.recipe())), "data")
        assert facts.get("Edits") == (edits and f"1 deleted, 1 relabelled by '{journal.path}'")


def test_what_cleaning_did_is_json(tmp_path: Path) -> None:
    edited_folder(tmp_path / "data")
    found = json.loads(json.dumps(clean_copy(tmp_path / "data", tmp_path / "copy").to_dict()))
    assert found["deleted"] == found["relabelled"] == found["kept"] == 1 and found["aside"] == []
