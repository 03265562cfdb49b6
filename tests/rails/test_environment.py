"""The scripts behind make: an environment is made once, finished when interrupted, renewed when stale."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.conftest import ROOT


@pytest.fixture
def environment(tmp_path: Path) -> ModuleType:
    """`scripts/environment.py` as if its checkout lay in an empty folder; installs are recorded, not run."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'nothing'\n")
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts" / "environment.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ROOT, module.calls, module.install_fails = tmp_path, [], False  # type: ignore[attr-defined]
    real = module.call

    def call(*command: object, env: dict[str, str] | None = None, check: bool = True) -> int:
        module.calls.append([str(part) for part in command])  # type: ignore[attr-defined]
        if "install" in command:
            if module.install_fails:
                sys.exit(1)
            return 0
        status = real(*command, "--without-pip", env=env, check=check)  # pip's own install takes seconds
        packages = next(Path(str(command[-1])).glob("[Ll]ib*/**/site-packages"))
        (packages / "pip").mkdir()
        (packages / "pip" / "__init__.py").touch()
        return status

    module.call = call  # type: ignore[attr-defined]
    return module


def test_a_second_run_installs_nothing_and_a_new_pyproject_installs_again(environment: ModuleType) -> None:
    python = environment.prepare(".venv", ["app"])
    assert python.exists()
    assert [c[2] for c in environment.calls] == ["venv", "pip"]
    environment.prepare(".venv", ["app"])
    assert len(environment.calls) == 2
    environment.prepare(".venv", ["test"])  # other extras go into the same environment
    assert environment.calls[2][-1] == ".[test]"
    assert len(environment.calls) == 3
    (environment.ROOT / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    environment.prepare(".venv", ["app"])
    assert len(environment.calls) == 4


def test_an_interrupted_install_is_finished_by_the_next_run(environment: ModuleType) -> None:
    environment.install_fails = True
    with pytest.raises(SystemExit):
        environment.prepare(".venv", ["app"])
    environment.install_fails = False
    environment.prepare(".venv", ["app"])
    assert [c[2] for c in environment.calls] == ["venv", "pip", "pip"]


def test_a_broken_environment_is_made_anew(environment: ModuleType) -> None:
    python = environment.prepare(".venv", ["app"])
    python.unlink()
    environment.prepare(".venv", ["app"])
    assert [c[2] for c in environment.calls] == ["venv", "pip"] * 2


def finder(folder: Path, *arguments: str, python: str = "") -> subprocess.CompletedProcess[str]:
    """Run `scripts/python` with nothing but `folder` on the PATH."""
    command = ["/bin/sh", str(ROOT / "scripts" / "python"), *arguments]
    environment = {"PATH": str(folder), **({"PYTHON": python} if python else {})}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_the_finder_skips_pythons_that_do_not_work_and_says_when_there_is_none(tmp_path: Path) -> None:
    for name in ("python3.13", "python3.12"):  # a shim without a version behind it, and one too old
        (tmp_path / name).write_text("#!/bin/sh\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    nothing = finder(tmp_path, "-V")
    assert nothing.returncode == 1
    assert "Python 3.11 or newer" in nothing.stderr
    (tmp_path / "python3").symlink_to(sys.executable)
    found = finder(tmp_path, "-c", "print('found')")
    assert found.stdout == "found\n"
    named = finder(tmp_path, "-V", python="python3.13")
    assert named.returncode == 1
    assert "python3.13" in named.stderr
