"""`project.pbxproj`: the project that Xcode opens, written by hand with identifiers that never change.

In: a name, a bundle identifier and a display name. Out: the texts of project.pbxproj and of a scheme. Folders
are synchronised (Xcode 16): what lies in them belongs to the target, so files are not listed one by one. Read
next: `writing.py`, which fills those folders.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, TypeAlias
from xml.sax.saxutils import quoteattr

__all__ = ["APP", "TESTS", "identifier", "project_text", "scheme_text"]

#: Names of the two targets; the user's own name is shown by the phone.
APP, TESTS = "WigglyApp", "WigglyAppTests"

KIT = "WigglyKit"
IOS = "17.0"
PLAIN = re.compile(r"[A-Za-z0-9_./]+")

Value: TypeAlias = str | list[Any] | Mapping[str, Any]


def identifier(name: str) -> str:
    """24 hexadecimal digits that stand for an object of the project, always the same for a name.

    Example:
        >>> identifier("project") == identifier("project"), len(identifier("app"))
        (True, 24)
    """
    return hashlib.sha256(f"wiggly ios {name}".encode()).hexdigest()[:24].upper()


def project_text(bundle_identifier: str, display_name: str) -> str:
    """The content of project.pbxproj.

    Args:
        bundle_identifier: Of the app, e.g. "org.example.pets".
        display_name: What stands below the icon.
    """
    objects = {
        **_files(),
        **_targets(),
        **_configurations(bundle_identifier, display_name),
        **_phases(),
    }
    root = {
        "archiveVersion": "1",
        "classes": {},
        "objectVersion": "77",
        "objects": dict(sorted(objects.items())),
        "rootObject": identifier("project"),
    }
    return "// !$*UTF8*$!\n" + _written(root, 0) + "\n"


def _files() -> dict[str, Any]:
    return {
        identifier("project"): {
            "isa": "PBXProject",
            "attributes": {"BuildIndependentTargetsInParallel": "1", "LastUpgradeCheck": "1600"},
            "buildConfigurationList": identifier("project configurations"),
            "developmentRegion": "en",
            "hasScannedForEncodings": "0",
            "knownRegions": ["en", "Base"],
            "mainGroup": identifier("main group"),
            "minimizedProjectReferenceProxies": "1",
            "packageReferences": [identifier("package")],
            "preferredProjectObjectVersion": "77",
            "productRefGroup": identifier("products"),
            "projectDirPath": "",
            "projectRoot": "",
            "targets": [identifier("app"), identifier("tests")],
        },
        identifier("main group"): {
            "isa": "PBXGroup",
            "children": [identifier(n) for n in ("app folder", "tests folder", "bundle folder", "products")],
            "sourceTree": "<group>",
        },
        identifier("products"): {
            "isa": "PBXGroup",
            "children": [identifier("app product"), identifier("tests product")],
            "name": "Products",
            "sourceTree": "<group>",
        },
        identifier("app folder"): _folder("App"),
        identifier("tests folder"): _folder("AppTests"),
        identifier("bundle folder"): {
            "isa": "PBXFileReference",
            "lastKnownFileType": "folder",
            "path": "Bundle",
            "sourceTree": "<group>",
        },
        identifier("app product"): _product(f"{APP}.app", "wrapper.application"),
        identifier("tests product"): _product(f"{TESTS}.xctest", "wrapper.cfbundle"),
        identifier("package"): {"isa": "XCLocalSwiftPackageReference", "relativePath": KIT},
        identifier("app kit"): {"isa": "XCSwiftPackageProductDependency", "productName": KIT},
        identifier("tests kit"): {"isa": "XCSwiftPackageProductDependency", "productName": KIT},
    }


def _folder(path: str) -> dict[str, Any]:
    return {"isa": "PBXFileSystemSynchronizedRootGroup", "path": path, "sourceTree": "<group>"}


def _product(path: str, kind: str) -> dict[str, Any]:
    return {
        "isa": "PBXFileReference",
        "explicitFileType": kind,
        "includeInIndex": "0",
        "path": path,
        "sourceTree": "BUILT_PRODUCTS_DIR",
    }


def _targets() -> dict[str, Any]:
    made = {identifier("app"): _target("app", APP, "com.apple.product-type.application")}
    tests = _target("tests", TESTS, "com.apple.product-type.bundle.unit-test")
    tests["dependencies"] = [identifier("tests need app")]
    return {
        **made,
        identifier("tests"): tests,
        identifier("tests need app"): {
            "isa": "PBXTargetDependency",
            "target": identifier("app"),
            "targetProxy": identifier("app proxy"),
        },
        identifier("app proxy"): {
            "isa": "PBXContainerItemProxy",
            "containerPortal": identifier("project"),
            "proxyType": "1",
            "remoteGlobalIDString": identifier("app"),
            "remoteInfo": APP,
        },
    }


def _target(key: str, name: str, kind: str) -> dict[str, Any]:
    return {
        "isa": "PBXNativeTarget",
        "buildConfigurationList": identifier(f"{key} configurations"),
        "buildPhases": [identifier(f"{key} {phase}") for phase in ("sources", "frameworks", "resources")],
        "buildRules": [],
        "dependencies": [],
        "fileSystemSynchronizedGroups": [identifier(f"{key} folder")],
        "name": name,
        "packageProductDependencies": [identifier(f"{key} kit")],
        "productName": name,
        "productReference": identifier(f"{key} product"),
        "productType": kind,
    }


def _phases() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key in ("app", "tests"):
        resources = [identifier("bundle in app")] if key == "app" else []
        files = {"sources": [], "frameworks": [identifier(f"{key} uses kit")], "resources": resources}
        for phase, listed in files.items():
            made[identifier(f"{key} {phase}")] = {
                "isa": f"PBX{phase.capitalize()}BuildPhase",
                "buildActionMask": "2147483647",
                "files": listed,
                "runOnlyForDeploymentPostprocessing": "0",
            }
        made[identifier(f"{key} uses kit")] = {"isa": "PBXBuildFile", "productRef": identifier(f"{key} kit")}
    made[identifier("bundle in app")] = {"isa": "PBXBuildFile", "fileRef": identifier("bundle folder")}
    return made


def _configurations(bundle_identifier: str, display_name: str) -> dict[str, Any]:
    settings = {
        "project": _project_settings(),
        "app": _app_settings(bundle_identifier, display_name),
        "tests": {
            "BUNDLE_LOADER": "$(TEST_HOST)",
            "GENERATE_INFOPLIST_FILE": "YES",
            "PRODUCT_BUNDLE_IDENTIFIER": f"{bundle_identifier}.tests",
            "PRODUCT_NAME": "$(TARGET_NAME)",
            "TEST_HOST": f"$(BUILT_PRODUCTS_DIR)/{APP}.app/{APP}",
        },
    }
    made: dict[str, Any] = {}
    for key, common in settings.items():
        names: list[str] = []
        for name in ("Debug", "Release"):
            own = _of_configuration(name) if key == "project" else {}
            place = identifier(f"{key} {name}")
            names.append(place)
            made[place] = {"isa": "XCBuildConfiguration", "buildSettings": {**common, **own}, "name": name}
        made[identifier(f"{key} configurations")] = {
            "isa": "XCConfigurationList",
            "buildConfigurations": names,
            "defaultConfigurationIsVisible": "0",
            "defaultConfigurationName": "Release",
        }
    return made


def _project_settings() -> dict[str, Any]:
    return {
        "ALWAYS_SEARCH_USER_PATHS": "NO",
        "CLANG_ENABLE_MODULES": "YES",
        "COREML_CODEGEN_LANGUAGE": "None",
        "ENABLE_USER_SCRIPT_SANDBOXING": "YES",
        "IPHONEOS_DEPLOYMENT_TARGET": IOS,
        "SDKROOT": "iphoneos",
        "SWIFT_VERSION": "6.0",
        "TARGETED_DEVICE_FAMILY": "1,2",
    }


def _of_configuration(name: str) -> dict[str, Any]:
    if name == "Debug":
        return {"ENABLE_TESTABILITY": "YES", "ONLY_ACTIVE_ARCH": "YES", "SWIFT_OPTIMIZATION_LEVEL": "-Onone"}
    return {"SWIFT_COMPILATION_MODE": "wholemodule", "VALIDATE_PRODUCT": "YES"}


def _app_settings(bundle_identifier: str, display_name: str) -> dict[str, Any]:
    return {
        "ASSETCATALOG_COMPILER_APPICON_NAME": "AppIcon",
        "ASSETCATALOG_COMPILER_GLOBAL_ACCENT_COLOR_NAME": "AccentColor",
        "CODE_SIGN_STYLE": "Automatic",
        "CURRENT_PROJECT_VERSION": "1",
        "ENABLE_PREVIEWS": "YES",
        "GENERATE_INFOPLIST_FILE": "YES",
        "INFOPLIST_FILE": "Info.plist",
        "INFOPLIST_KEY_CFBundleDisplayName": display_name,
        "INFOPLIST_KEY_UIApplicationSceneManifest_Generation": "YES",
        "INFOPLIST_KEY_UILaunchScreen_Generation": "YES",
        "INFOPLIST_KEY_UISupportedInterfaceOrientations": "UIInterfaceOrientationPortrait "
        "UIInterfaceOrientationLandscapeLeft UIInterfaceOrientationLandscapeRight",
        "LD_RUNPATH_SEARCH_PATHS": ["$(inherited)", "@executable_path/Frameworks"],
        "MARKETING_VERSION": "1.0",
        "PRODUCT_BUNDLE_IDENTIFIER": bundle_identifier,
        "PRODUCT_NAME": "$(TARGET_NAME)",
    }


def _written(value: Value, depth: int) -> str:
    """A value as an old-style property list, as Xcode writes it."""
    inside, outside = "\t" * (depth + 1), "\t" * depth
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return "(\n" + "".join(f"{inside}{_written(part, depth + 1)},\n" for part in value) + f"{outside})"
    lines = [f"{inside}{_text(name)} = {_written(part, depth + 1)};\n" for name, part in value.items()]
    return "{\n" + "".join(lines) + f"{outside}}}"


def _text(text: str) -> str:
    if PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def scheme_text(project: str) -> str:
    """A scheme that builds, runs and tests the app.

    Args:
        project: File name of the project, with its suffix.
    """
    app, tests = (
        _reference("app", APP, f"{APP}.app", project),
        _reference("tests", TESTS, f"{TESTS}.xctest", project),
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Scheme LastUpgradeVersion="1600" version="1.7">
  <BuildAction parallelizeBuildables="YES" buildImplicitDependencies="YES">
    <BuildActionEntries>
      <BuildActionEntry buildForTesting="YES" buildForRunning="YES" buildForProfiling="YES"
        buildForArchiving="YES" buildForAnalyzing="YES">{app}</BuildActionEntry>
    </BuildActionEntries>
  </BuildAction>
  <TestAction buildConfiguration="Debug" shouldUseLaunchSchemeArgsEnv="YES">
    <Testables><TestableReference skipped="NO">{tests}</TestableReference></Testables>
  </TestAction>
  <LaunchAction buildConfiguration="Debug">
    <BuildableProductRunnable>{app}</BuildableProductRunnable>
  </LaunchAction>
  <ArchiveAction buildConfiguration="Release" revealArchiveInOrganizer="YES"/>
</Scheme>
"""


def _reference(key: str, target: str, product: str, project: str) -> str:
    return (
        f'<BuildableReference BuildableIdentifier="primary" BlueprintIdentifier="{identifier(key)}" '
        f'BuildableName="{product}" BlueprintName="{target}" '
        f"ReferencedContainer={quoteattr(f'container:{project}')}/>"
    )
