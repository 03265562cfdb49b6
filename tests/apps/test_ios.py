"""The Xcode project of a bundle: its file, its folders, and that nothing of the user's is touched."""

from __future__ import annotations

import json
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.bundle.support import train_digits

from wiggly.apps.ios.project import project_text
from wiggly.apps.ios.writing import write_ios
from wiggly.cli import main
from wiggly.errors import ArgumentError, StorageError

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "ios" / "WigglyKit"
SWIFT = sorted((ROOT / "ios").rglob("*.swift"))


@pytest.fixture(scope="module")
def bundle(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learned the digits, exported."""
    return train_digits(digits_folder, 1).export(tmp_path_factory.mktemp("ios") / "digits.wiggly")


@pytest.fixture(scope="module")
def project(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its Xcode project, with the model."""
    pytest.importorskip("coremltools", reason="the extra `apple` is not installed")
    place = tmp_path_factory.mktemp("ios") / "App"
    return write_ios(bundle, place, name='Digits "1"', identifier="org.example.digits")


def _objects(text: str) -> dict[str, Any]:
    parsed = pytest.importorskip("openstep_plist").loads(text)
    assert parsed["rootObject"] in parsed["objects"]
    return parsed["objects"]


def test_every_identifier_of_the_project_is_an_object() -> None:
    objects = _objects(project_text("org.example.app", 'Ants "or" bees; {1}'))
    known = {
        "buildConfigurationList",
        "mainGroup",
        "productRefGroup",
        "target",
        "targetProxy",
        "fileRef",
        "productRef",
        "productReference",
        "containerPortal",
        "remoteGlobalIDString",
    }
    lists = {
        "children",
        "targets",
        "packageReferences",
        "buildPhases",
        "files",
        "dependencies",
        "fileSystemSynchronizedGroups",
        "packageProductDependencies",
        "buildConfigurations",
    }
    used: set[str] = set()
    for one in objects.values():
        used |= {value for name, value in one.items() if name in known}
        used |= {value for name, values in one.items() if name in lists for value in values}
    assert used <= set(objects)
    roots = {key for key, one in objects.items() if one["isa"] == "PBXProject"}
    assert set(objects) == used | roots
    names = [
        o["buildSettings"].get("INFOPLIST_KEY_CFBundleDisplayName")
        for o in objects.values()
        if o["isa"] == "XCBuildConfiguration"
    ]
    assert 'Ants "or" bees; {1}' in names


def test_the_project_is_whole(project: Path, bundle: Path) -> None:
    [place] = project.glob("*.xcodeproj")
    assert place.name == "Digits 1.xcodeproj"
    objects = _objects((place / "project.pbxproj").read_text(encoding="utf-8"))
    paths = {one["path"] for one in objects.values() if "path" in one and one["sourceTree"] == "<group>"}
    paths |= {one["relativePath"] for one in objects.values() if "relativePath" in one}
    assert all((project / path).is_dir() for path in paths) and len(paths) == 4
    settings = [one["buildSettings"] for one in objects.values() if one["isa"] == "XCBuildConfiguration"]
    assert {s.get("IPHONEOS_DEPLOYMENT_TARGET") for s in settings} == {None, "17.0"}
    assert {s.get("PRODUCT_BUNDLE_IDENTIFIER") for s in settings} >= {"org.example.digits"}
    ElementTree.parse(next(place.rglob("*.xcscheme")))
    manifest = json.loads((project / "Bundle" / "model.json").read_text(encoding="utf-8"))
    assert all((project / "Bundle" / example["file"]).is_file() for example in manifest["examples"])
    assert json.loads((project / "Bundle" / "app.json").read_text()) == {"endpoint": None, "onDevice": True}
    assert (project / "App" / "Model.mlpackage" / "Manifest.json").is_file()


def test_the_plists_say_what_apple_asks(project: Path) -> None:
    info = plistlib.loads((project / "Info.plist").read_bytes())
    assert "photo" in info["NSCameraUsageDescription"]
    privacy = plistlib.loads((project / "App" / "PrivacyInfo.xcprivacy").read_bytes())
    assert privacy["NSPrivacyTracking"] is False and privacy["NSPrivacyCollectedDataTypes"] == []
    assert privacy["NSPrivacyAccessedAPITypes"][0]["NSPrivacyAccessedAPITypeReasons"] == ["CA92.1"]


def test_the_same_bundle_gives_the_same_project_and_nothing_is_overwritten(
    bundle: Path, tmp_path: Path
) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}

    place = write_ios(bundle, tmp_path / "app", endpoint="https://example.org")
    first = content(place)
    assert first == content(write_ios(bundle, tmp_path / "app", endpoint="https://example.org"))
    assert (
        not any("mlpackage" in name for name in first) and b"https://example.org" in first["Bundle/app.json"]
    )
    view = place / "App" / "WigglyApp.swift"
    view.write_text("// mine")
    with pytest.raises(StorageError, match=r"WigglyApp\.swift"):
        write_ios(bundle, place, endpoint="https://example.org")
    assert view.read_text() == "// mine"
    other = tmp_path / "photos"
    other.mkdir()
    (other / "a.jpg").write_bytes(b"1")
    with pytest.raises(StorageError, match="something else"):
        write_ios(bundle, other)
    assert list(other.iterdir()) == [other / "a.jpg"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["app", "photos"]


@pytest.mark.parametrize("text", ["ftp://a", "example.org", "http://", "https://a b", "https://a/?q=1"])
def test_an_endpoint_must_be_an_address(text: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="http or https"):
        write_ios("no bundle", tmp_path / "app", endpoint=text)
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize("text", ["app", "org..app", "org.ex ample", "org.example.", "org/x.y"])
def test_an_identifier_must_be_one(text: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="letters, digits and hyphens"):
        write_ios("no bundle", tmp_path / "app", identifier=text)


def test_the_verb(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ios", str(bundle), str(tmp_path / "x"), "--endpoint", "http://127.0.0.1:7860"]) == 0
    assert "Digits.xcodeproj" in capsys.readouterr().out
    assert main(["ios", str(bundle), str(tmp_path)]) == 1


# ---- the Swift files ----


@pytest.mark.parametrize("script", ["swift.py", "swift_vectors.py"])
def test_generated_swift_files_are_in_step(script: str) -> None:
    if script == "swift.py":
        command = [sys.executable, str(ROOT / "scripts" / script), "--check"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        return
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import swift_vectors  # pyright: ignore[reportMissingImports]

        assert swift_vectors.PLACE.read_text(encoding="utf-8") == swift_vectors.text()
    finally:
        sys.path.remove(str(ROOT / "scripts"))


@pytest.mark.parametrize("file", SWIFT, ids=[f.name for f in SWIFT])
def test_a_grammar_parses_every_swift_file(file: Path) -> None:
    grammar = pytest.importorskip("tree_sitter_swift", reason="tree-sitter-swift is not installed")
    from tree_sitter import Language, Parser

    tree = Parser(Language(grammar.language())).parse(file.read_bytes())
    assert not tree.root_node.has_error, _first_error(tree.root_node)


def _first_error(node: Any) -> str:
    if node.is_error or node.is_missing:
        return f"line {node.start_point[0] + 1}: {node.text!r:.80}"
    return next((_first_error(child) for child in node.children if child.has_error), "none")


@pytest.mark.slow
def test_the_package_passes_its_own_tests(bundle: Path, tmp_path: Path) -> None:
    """With a Swift compiler: `swift test`, with a real manifest."""
    swift = shutil.which("swift")
    if swift is None:
        pytest.skip("no Swift compiler is installed")
    place = write_ios(bundle, tmp_path / "app", endpoint="https://example.org")
    done = subprocess.run(
        [swift, "test"],
        cwd=place / "WigglyKit",
        env={**__import__("os").environ, "WIGGLY_FOLDER": str(place / "Bundle")},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
