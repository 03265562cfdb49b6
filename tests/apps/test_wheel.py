"""What a wheel takes along besides Python: from it alone every app can be written, far from the sources."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.bundle.support import train_digits

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made as `pip install .` makes it."""
    pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode and "Could not find a version" in made.stderr + made.stdout:
        pytest.skip("no index of packages can be reached")
    assert made.returncode == 0, made.stderr
    [found] = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its content, where nothing of the repository is near."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript")
    return train_digits(digits_folder, epochs=1).export(tmp_path_factory.mktemp("bundle") / "digits.wiggly")


@pytest.mark.slow
def test_it_holds_what_is_not_python(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    swift = {name for name in names if name.endswith(".swift")}
    there = {
        f"wiggly/apps/ios/swift/{file.relative_to(ROOT / 'ios')}" for file in ROOT.glob("ios/**/*.swift")
    }
    assert {name for name in there if "/.build/" not in name} == swift
    for name in (
        "bundle/model.schema.json",
        "bundle/replies.schema.json",
        "apps/server/openapi.json",
        "apps/static/page/index.html",
        "apps/static/page/sw.js",
        "apps/static/template/package.json",
        "py.typed",
    ):
        assert f"wiggly/{name}" in names
    assert any(name.startswith("wiggly/teach/static/") and name.endswith(".js") for name in names)
    assert any(name.startswith("wiggly/apps/static/page/runtime/") for name in names)
    assert not [name for name in names if "node_modules" in name or "/tests/" in name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["ios", "B", "made", "--endpoint", "https://example.org"], "WigglyKit/Package.swift"),
        (["web", "B", "made"], "index.html"),
        (["new", "ui", "made", "--bundle", "B"], "package.json"),
        (["space", "new", "made", "B"], "app.py"),
        (["space", "new", "made", "B", "--static"], "index.html"),
    ],
    ids=["ios", "web", "ui", "space", "static space"],
)
def test_apps_are_written_from_it(
    words: list[str], made: str, installed: Path, bundle: Path, tmp_path: Path
) -> None:
    program = (
        "import sys, pathlib, wiggly\n"
        f"assert pathlib.Path(wiggly.__file__).is_relative_to({str(installed)!r}), wiggly.__file__\n"
        "from wiggly.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, *(str(bundle) if word == "B" else word for word in words)]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "made" / made).is_file()
