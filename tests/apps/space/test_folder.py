"""The folder of a Space: exact versions, a header that the hub takes, and pages that need no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.apps.space.hub import HIDDEN, started

from wiggly.apps.liked import Likes
from wiggly.apps.owned import hashes_of
from wiggly.apps.space.folder import MARK, write_space
from wiggly.apps.space.live import Endpoint, check_live
from wiggly.apps.space.lock import locked, python_of_lock
from wiggly.apps.space.package import package_files, packages_used
from wiggly.apps.space.readme import readme
from wiggly.bundle.archive import read_archive
from wiggly.bundle.session.predictor import open_session
from wiggly.cli import main
from wiggly.errors import ArgumentError, BundleError

CALLED = {"PIL": "pillow"}  # in Python, and on PyPI


@pytest.fixture(scope="module")
def written(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier."""
    folder = tmp_path_factory.mktemp("spaces") / "pets"
    assert main(["space", "new", str(folder), str(bundles["category"])]) == 0
    return folder


def header(folder: Path) -> dict[str, Any]:
    """What the hub reads of a README."""
    return yaml.safe_load((folder / "README.md").read_text("utf-8").split("---\n")[1])


def test_every_version_is_named_and_torch_is_none_of_them(written: Path) -> None:
    lines = (written / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines)
    assert len(pins) == len(lines) > 30 and list(pins) == sorted(pins)
    assert all(version(name).partition("+")[0] == pin for name, pin in pins.items())
    assert not {"torch", "torchvision", "timm", "wiggly", "opencv-python-headless"} & set(pins)
    assert {CALLED.get(name, name.replace("_", "-")) for name in packages_used()} <= set(pins)
    assert {"pandas", "huggingface-hub", "h11"} <= set(pins), "what these need is named, too"


def test_the_lock_is_a_whole_environment() -> None:
    """pip's own resolver has nothing to add."""
    pytest.importorskip("pip", reason="needs pip, which an environment of uv has not")
    result = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--quiet", *locked()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0 and not result.stdout.strip(), result.stderr


def test_the_header(written: Path) -> None:
    said = header(written)
    assert said["sdk"] == "gradio" and said["app_file"] == "app.py"
    assert said["sdk_version"] == version("gradio")
    assert said["python_version"] == python_of_lock() == "{}.{}".format(*sys.version_info)
    assert len(said["short_description"]) <= 60
    assert {said["colorFrom"], said["colorTo"]} <= {
        *("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
    }
    assert said["models"] == [] and said["emoji"]


def test_the_header_of_odd_titles_and_terms(bundles: dict[str, Path]) -> None:
    import dataclasses

    manifest = read_archive(bundles["category"]).manifest
    body = {"body": {"arch": "convnext_tiny.in12k_ft_in1k"}}
    odd = dataclasses.replace(
        manifest, title='"Cats"\n---\n: or {dogs}', licence="CC-BY-4.0", model=body, description="äöü"
    )
    text = readme(odd, {"sdk": "gradio"})
    said = yaml.safe_load(text.split("---\n")[1])
    assert said["title"] == odd.title and said["license"] == "cc-by-4.0"
    assert said["models"] == ["timm/convnext_tiny.in12k_ft_in1k"]
    other = readme(dataclasses.replace(manifest, licence="LicenseRef-mine"), {"sdk": "gradio"})
    assert yaml.safe_load(other.split("---\n")[1])["license"] == "other" and "LicenseRef-mine" in other


def test_it_is_a_copy_of_wiggly_with_its_licence(written: Path) -> None:
    for name, content in package_files().items():
        assert (written / name).read_bytes() == content
    assert "Apache License" in (written / "wiggly/LICENSE").read_text()
    assert not any(
        "torch" in line for line in (written / "app.py").read_text().splitlines() if "import" in line
    )


@pytest.mark.parametrize("other", ["README.md", "notes.txt"])
def test_what_is_not_ours_stays(bundles: dict[str, Path], tmp_path: Path, other: str) -> None:
    (tmp_path / other).write_text("mine")
    with pytest.raises(ArgumentError, match=f"holds '{other}'"):
        write_space(bundles["table"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [other]
    assert (tmp_path / other).read_text() == "mine"


def test_ours_is_renewed(bundles: dict[str, Path], tmp_path: Path) -> None:
    write_space(bundles["table"], tmp_path)
    mark = json.loads((tmp_path / MARK.file).read_text())
    (tmp_path / "wiggly" / "old.py").write_text("")
    outside = tmp_path.parent / "outside.txt"
    outside.write_text("mine")
    old = hashes_of({"wiggly/old.py": b"", "../outside.txt": b"mine"})
    (tmp_path / MARK.file).write_text(json.dumps({**mark, "files": {**mark["files"], **old}}))
    (tmp_path / "notes.txt").write_text("mine")
    write_space(bundles["pairs"], tmp_path)
    assert not (tmp_path / "wiggly" / "old.py").exists()
    assert (tmp_path / "notes.txt").exists() and outside.exists()
    assert (tmp_path / "model.wiggly").read_bytes() == bundles["pairs"].read_bytes()
    (tmp_path / "app.py").write_text("# mine")
    with pytest.raises(ArgumentError, match=r"changed since: app\.py"):
        write_space(bundles["table"], tmp_path)


def test_a_bundle_without_a_graph_is_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    import dataclasses

    from wiggly.bundle.archive import write_archive

    archive = read_archive(bundles["table"])
    files = {name: content for name, content in archive.files.items() if name != "model.onnx"}
    listed = {name: entry for name, entry in archive.manifest.files.items() if name in files}
    bare = dataclasses.replace(archive.manifest, graphs=(), files=listed, no_graph="onnx was not there.")
    write_archive(tmp_path / "bare.wiggly", bare, files)
    with pytest.raises(BundleError, match=r"has none \(onnx was not there\)"):
        write_space(tmp_path / "bare.wiggly", tmp_path / "space")
    assert not (tmp_path / "space").exists()


# ---- the pages, without torch ----

PAGES = """
import json, sys
from wiggly.apps.page import make_app
from wiggly.bundle.session.predictor import open_session
from wiggly.apps.forms import fields_of

said = {}
for path in sys.argv[2:]:
    model = open_session(path)
    app = make_app(model)
    [ask] = [f.fn for f in app.fns.values() if f.api_name in ("predict", "nearest")]
    kind = model.manifest.inputs[0].kind
    if kind == "image":
        given = [{"path": sys.argv[1], "orig_name": "a.png"}]
    elif kind == "table":
        given = [field.start for field in fields_of(model)]
    else:
        given = [["Alien"], 1]
    answer, notice = ask(*given)
    said[path] = [repr(answer)[:200], bool(notice.visible)]
assert not any(name.partition(".")[0] in ("torch", "cv2", "sklearn") for name in sys.modules)
print(json.dumps(said))
"""


def test_the_pages_of_every_kind_need_no_torch(
    written: Path, bundles: dict[str, Path], tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(photo)
    for name in HIDDEN:
        if name != "matplotlib":  # Gradio looks for it
            (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
    result = subprocess.run(
        [sys.executable, "-c", PAGES, str(photo), *map(str, bundles.values())],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(written), str(tmp_path)])},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert set(said) == set(map(str, bundles.values()))
    assert all(answer not in ("None", "''") for answer, _ in said.values()), said


def test_who_liked_this_is_the_cosine(bundles: dict[str, Path]) -> None:
    from safetensors.numpy import load

    likes = Likes(open_session(bundles["pairs"]))
    weights = load(read_archive(bundles["pairs"]).files["weights.safetensors"])
    factors = weights["i_weight.weight"][1:]

    def cosine(a: int, b: int) -> float:
        first, second = factors[a], factors[b]
        return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))

    found = likes.nearest([2], 3, least=5)
    others = [i for i in range(len(likes.items)) if i != 2 and likes.counts[i] >= 5]
    wanted = sorted(others, key=lambda i: -cosine(2, i))[:3]
    assert [place for place, _ in found] == wanted
    assert [value for _, value in found] == pytest.approx([cosine(2, i) for i in wanted])


# ---- for real ----


@pytest.mark.slow
def test_it_starts_in_an_environment_of_its_own(written: Path, tmp_path: Path) -> None:
    """Installs what the folder names, and nothing else, and asks for the worked examples."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "own")], check=True)
    python = tmp_path / "own" / "bin" / "python"
    begin = time.monotonic()
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", "-r", written / "requirements.txt"],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode and "Could not find a version" in installed.stderr + installed.stdout:
        pytest.skip("no index of packages can be reached")
    assert installed.returncode == 0, installed.stderr
    spent = time.monotonic() - begin
    process, address = started(written, written / "app.py", tmp_path, python)
    try:
        begin = time.monotonic()
        endpoint = Endpoint(address)
        while time.monotonic() < begin + 120:
            try:
                endpoint.get("/readyz")
                break
            except OSError:
                time.sleep(0.1)
        ready = time.monotonic() - begin
        n, difference = check_live(endpoint, read_archive(written / "model.wiggly"), 5.0)
        assert n > 0 and difference <= 1e-5
        with urllib.request.urlopen(address) as page:
            assert b"gradio" in page.read().lower()
        print(f"installed in {spent:.0f} s, ready in {ready:.1f} s")
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert "stopped" in said, said
