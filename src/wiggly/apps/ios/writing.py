"""`wiggly ios`: a bundle as an Xcode project in a folder of its own.

In: a bundle, a folder, and what the app is called. Out: the project, the Swift package, the model as
.mlpackage (or the address of a server), the worked examples for its tests. Read next: `project.py`.
"""

from __future__ import annotations

import json
import os
import plistlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wiggly.apps.ios.project import APP, project_text, scheme_text
from wiggly.apps.owned import Mark, hashes_of
from wiggly.bundle.archive import Archive, read_archive
from wiggly.bundle.manifest import WEIGHTS, Manifest, write_manifest
from wiggly.errors import ArgumentError, DependencyError, StorageError

__all__ = ["write_ios"]

MARK = Mark("wiggly-ios.json", "wiggly ios", "the folder of a project")

#: Folders of ios/ and where they go.
COPIED = {"WigglyKit": "WigglyKit", "App": "App", "AppTests": "AppTests"}

CAMERA = "Take a photo and the model says what is in it."

GUIDE = """# {name}

An app for iPhone and iPad around the model "{title}". {where}

1. Open `{project}` in Xcode 16 or later.
2. Target WigglyApp, Signing & Capabilities: choose your team.
3. Choose a device or simulator and run. Product > Test runs the worked examples of the bundle.

`WigglyKit/` is the Swift package that reads the bundle, prepares inputs and decodes answers; `swift test`
runs its tests, on Linux too. `Bundle/` has `model.json` and the worked examples. Written by wiggly {wiggly}.
"""


def write_ios(
    bundle: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    identifier: str = "org.example.wiggly",
    endpoint: str | None = None,
) -> Path:
    """Writes an Xcode project for a bundle.

    Args:
        bundle: What `learn.export` wrote.
        folder: To write into; new, empty, or written by this function and not edited since.
        name: What stands below the icon; None takes the bundle's title.
        identifier: Bundle identifier of the app, e.g. "org.example.pets".
        endpoint: Address of a server that speaks `/v1`: the app asks it and carries no model.

    Returns:
        The folder.

    Raises:
        ArgumentError: The identifier or the endpoint is of a wrong form.
        StorageError: The folder holds something else, or files that were edited.
        BundleError: The model cannot run on the device; the message says what can be done.
        DependencyError: PyTorch or coremltools is not installed, and there is no endpoint.
    """
    _check_identifier(identifier)
    if endpoint is not None:
        _check_endpoint(endpoint)
    place = Path(folder).expanduser()
    _check_place(place)
    archive = read_archive(bundle)
    shown = (archive.manifest.title if name is None else name).strip() or "Model"
    parent = place.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".wiggly-ios-") as aside:
        made = Path(aside) / "project"
        made.mkdir()
        if endpoint is None:
            _write_model(archive, made / "App" / "Model.mlpackage")
        _write_all(made, archive, shown, identifier, endpoint)
        (made / MARK.file).write_bytes(MARK.content(_files(made)))
        if place.exists():
            shutil.rmtree(place)
        made.rename(place)
    return place


# ---- checks ----


def _check_identifier(identifier: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", identifier):
        raise ArgumentError(
            "a bundle identifier must be words of letters, digits and hyphens with dots between them",
            f"it is {identifier!r}",
            "Pass e.g. --identifier org.example.pets.",
        )


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
    except ValueError:
        fits = False
    if not fits or not endpoint.isascii() or re.search(r"\s", endpoint):
        raise ArgumentError(
            "an endpoint must be an http or https address",
            f"it is {endpoint!r}",
            "Pass e.g. --endpoint https://example.org.",
        )


def _check_place(place: Path) -> None:
    """Refuses a folder that holds anything that was not written here."""
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise StorageError("DIR must name a folder", f"'{place}' is something else", "Choose another name.")
    if not place.exists() or not any(place.iterdir()):
        return
    mark = place / MARK.file
    written = MARK.read(mark.read_bytes()) if mark.is_file() else None
    if written is None:
        raise StorageError(
            "DIR must be new, empty, or an earlier project of `wiggly ios`",
            f"'{place}' holds something else",
            "Choose another name.",
        )
    there = hashes_of(_files(place))  # also what was added: all of it is replaced at once
    changed = [name for name, digest in there.items() if written.get(name) != digest]
    if changed:
        raise StorageError(
            "an earlier project must be as it was written",
            f"'{place}' has changed or further files: {', '.join(changed[:3])}",
            "Choose another name, and copy Bundle/ and App/Model.mlpackage over from there.",
        )


def _files(folder: Path) -> dict[str, bytes]:
    """Every file below, but for the mark and what Xcode and Swift keep for themselves."""
    found: dict[str, bytes] = {}
    for file in folder.rglob("*"):
        name = file.relative_to(folder).as_posix()
        kept = re.search(r"(^|/)(xcuserdata|\.build|\.DS_Store)(/|$)", name)
        workspace = name.endswith(".xcodeproj/project.xcworkspace/contents.xcworkspacedata")
        if file.is_file() and name != MARK.file and not kept and not workspace:
            found[name] = file.read_bytes()
    return found


# ---- writing ----


def _write_model(archive: Archive, place: Path) -> None:
    if find_spec("torch") is None:
        raise DependencyError(
            "a model on the device is converted with PyTorch and coremltools",
            "PyTorch is not installed",
            'Install both: `pip install "wiggly[apple]"`, or let the app ask a server with --endpoint URL.',
        )
    from wiggly.bundle.coreml import check_core_ml, core_ml_model, save_core_ml
    from wiggly.bundle.predictor import Predictor

    check_core_ml(archive.manifest)  # before the network is built
    place.parent.mkdir(parents=True)
    save_core_ml(core_ml_model(Predictor(archive)), place)


def _write_all(made: Path, archive: Archive, name: str, identifier: str, endpoint: str | None) -> None:
    for source, target in COPIED.items():
        _copy(_sources() / source, made / target)
    project = f"{_file_name(name)}.xcodeproj"
    files = {
        f"{project}/project.pbxproj": project_text(identifier, name),
        f"{project}/xcshareddata/xcschemes/{APP}.xcscheme": scheme_text(project),
        "Info.plist": _plist(
            {"NSCameraUsageDescription": CAMERA, "NSAppTransportSecurity": {"NSAllowsLocalNetworking": True}}
        ),
        "App/PrivacyInfo.xcprivacy": _plist(_privacy()),
        "Bundle/model.json": write_manifest(archive.manifest),
        "Bundle/app.json": json.dumps({"endpoint": endpoint, "onDevice": endpoint is None}) + "\n",
        "README.md": _guide(archive.manifest, name, project, endpoint),
        **_assets(),
    }
    for path, text in files.items():
        _write(made / path, text.encode())
    for path, content in archive.files.items():
        if path.startswith("examples/") and path != WEIGHTS:
            _write(made / "Bundle" / path, content)


def _sources() -> Path:
    """Where the Swift files are: beside this file in a wheel, in ios/ of a source checkout."""
    packed = Path(__file__).with_name("swift")
    return packed if packed.exists() else Path(__file__).parents[4] / "ios"


def _copy(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise StorageError(
            "the Swift files must be there",
            f"'{source}' is not",
            "Install wiggly again: `pip install wiggly`.",
        )
    for file in sorted(source.rglob("*")):
        parts = file.relative_to(source).parts
        if file.is_file() and not any(part.startswith(".") for part in parts):
            _write(target.joinpath(*parts), file.read_bytes())


def _write(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def _file_name(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w -]+", "", name).strip()[:60].strip() or APP


def _plist(content: Mapping[str, Any]) -> str:
    return plistlib.dumps(dict(content), sort_keys=True).decode()


def _privacy() -> dict[str, Any]:
    """Nothing is tracked or collected; the user's settings are kept on the device (reason CA92.1)."""
    defaults = {
        "NSPrivacyAccessedAPIType": "NSPrivacyAccessedAPICategoryUserDefaults",
        "NSPrivacyAccessedAPITypeReasons": ["CA92.1"],
    }
    return {
        "NSPrivacyTracking": False,
        "NSPrivacyTrackingDomains": [],
        "NSPrivacyCollectedDataTypes": [],
        "NSPrivacyAccessedAPITypes": [defaults],
    }


def _assets() -> dict[str, str]:
    """An asset catalogue with an accent colour for light and dark, and room for an icon."""
    info = {"author": "xcode", "version": 1}
    dark = [{"appearance": "luminosity", "value": "dark"}]
    icon = {"images": [{"idiom": "universal", "platform": "ios", "size": "1024x1024"}], "info": info}
    colours = [_colour("0x4F", "0x46", "0xC8"), {**_colour("0x9A", "0x94", "0xFF"), "appearances": dark}]
    place = "App/Assets.xcassets"
    parts: dict[str, Any] = {
        f"{place}/Contents.json": {"info": info},
        f"{place}/AccentColor.colorset/Contents.json": {"colors": colours, "info": info},
        f"{place}/AppIcon.appiconset/Contents.json": icon,
    }
    return {path: json.dumps(content, indent=2) + "\n" for path, content in parts.items()}


def _colour(red: str, green: str, blue: str) -> dict[str, Any]:
    parts = {"red": red, "green": green, "blue": blue, "alpha": "1.000"}
    return {"color": {"color-space": "srgb", "components": parts}, "idiom": "universal"}


def _guide(manifest: Manifest, name: str, project: str, endpoint: str | None) -> str:
    where = "The model runs on the device." if endpoint is None else f"It asks the server at {endpoint}."
    return GUIDE.format(name=name, title=manifest.title, where=where, project=project, wiggly=manifest.wiggly)
