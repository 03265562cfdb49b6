"""Requirements are the distributions that bring what is imported, in their installed versions."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from wiggly import __version__
from wiggly.notebook.requirements import find_requirements


def names(source: str, *folders: Path) -> list[str]:
    return [line.partition("==")[0] for line in find_requirements([source], folders).lines]


def test_the_names_are_those_pip_knows_and_the_versions_those_installed() -> None:
    source = "import cv2, PIL.Image, sklearn.metrics as m\nfrom torch import nn\ndef f():\n    import yaml\n"
    lines = find_requirements([source], []).lines
    wanted = ["opencv-python-headless", "pillow", "pyyaml", "scikit-learn", "torch"]
    assert [line.partition("==")[0].lower() for line in lines] == wanted
    for line in lines:
        name, _, version = line.partition("==")
        assert metadata.version(name).partition("+")[0] == version


def test_python_s_own_modules_and_what_only_type_checkers_see_are_no_requirements() -> None:
    source = (
        "from __future__ import annotations\nimport os, json.decoder\nfrom . import a\nfrom .b import c\n"
        "from typing import TYPE_CHECKING\nimport typing\nif TYPE_CHECKING:\n    import torch\n"
        "if typing.TYPE_CHECKING:\n    import numpy\nelse:\n    import PIL\n"
    )
    assert names(source) == ["pillow"]


def test_what_is_not_installed_is_noted_unless_its_absence_is_caught() -> None:
    found = find_requirements(["import no_such_thing.deep"], [])
    assert found.lines == () and "`no_such_thing` is imported and not installed" in found.notes[0]
    caught = "try:\n    import no_such_thing\nexcept ImportError:\n    import PIL\n"
    found = find_requirements([caught], [])
    assert found.notes == () and found.lines[0].startswith("pillow==")
    found = find_requirements([caught, "import no_such_thing"], [])
    assert len(found.notes) == 1


def test_modules_beside_are_followed_and_listed(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("import parts.inner\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "inner.py").write_text("import PIL, helpers\n")
    found = find_requirements(["import helpers"], [tmp_path])
    assert found.local == (tmp_path / "helpers.py", tmp_path / "parts")
    assert [line.partition("==")[0] for line in found.lines] == ["pillow"]


def test_wiggly_itself_with_an_extra() -> None:
    found = find_requirements(["from wiggly.vision.all import *"], [], {"wiggly": "app"})
    assert found.lines == (f"wiggly[app]=={__version__}",)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path where distributions can be put."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


def put(folder: Path, name: str, files: list[str], direct_url: str = "") -> None:
    for file in files:  # Python 3.12 and the package importlib_metadata leave out files that are not there
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    info = folder / f"{name.replace('-', '_')}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5+cu128\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    if direct_url:
        (info / "direct_url.json").write_text(direct_url)


def test_distributions_that_share_a_first_name_are_told_apart(installed: Path) -> None:
    put(installed, "shared-one", ["sharedname/one/__init__.py"])
    put(installed, "shared-two", ["sharedname/two.py"])
    assert find_requirements(["import sharedname.two"], []).lines == ("shared-two==1.5",)
    assert names("from sharedname.one import x\nimport sharedname.two") == ["shared-one", "shared-two"]


def test_what_came_from_a_repository_or_a_folder_says_so(installed: Path) -> None:
    vcs = '{"url": "https://example.org/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}'
    put(installed, "from-git", ["fromgit/__init__.py"], vcs)
    put(installed, "from-folder", ["fromfolder.py"], '{"url": "file:///x", "dir_info": {"editable": true}}')
    assert find_requirements(["import fromgit"], []).lines == (
        "from-git @ git+https://example.org/r.git@abc",
    )
    found = find_requirements(["import fromfolder"], [])
    assert found.lines == ("from-folder==1.5",)
    assert "installed from a folder here" in found.notes[0]
