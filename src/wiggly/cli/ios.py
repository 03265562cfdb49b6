"""The verb `ios`: an Xcode project from a bundle.

In: a bundle and a folder. Out: a project that Xcode opens. Read next: `wiggly/apps/ios/writing.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["ios"]


def ios(
    bundle: Annotated[Path, Parameter(help="A model that `wiggly train` wrote.")],
    folder: Annotated[Path, Parameter(help="Where to write the project: new, empty, or an earlier one.")],
    /,
    *,
    name: Annotated[str | None, Parameter(help="What stands below the icon; else the model's title.")] = None,
    identifier: Annotated[
        str, Parameter(help="Bundle identifier of the app, of your own domain.")
    ] = "org.example.wiggly",
    endpoint: Annotated[
        str | None, Parameter(help="Address of a server to ask, instead of a model on the device.")
    ] = None,
) -> int:
    """Writes an Xcode project: an app for iPhone and iPad with the model in it."""
    from wiggly.apps.ios.writing import write_ios

    place = write_ios(bundle, folder, name=name, identifier=identifier, endpoint=endpoint)
    project = next(place.glob("*.xcodeproj"))
    print(f"wrote {place}; open {project} in Xcode 16 or later")
    return 0
