"""The verbs `space new` and `space push`: a model as a Hugging Face Space.

In: a bundle, and a folder or the name of a Space. Out: the folder, or a Space that runs and was asked. Read
next: `../apps/space/folder.py`, `../apps/space/push.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

__all__ = ["space"]

EXAMPLES = """Example:

    wiggly space new pets-space pets.wiggly           # the folder only; it runs anywhere
    wiggly space push ada/pets pets.wiggly            # makes the Space, waits, asks it, compares
    wiggly space push ada/pets pets.wiggly --static   # no server: the model runs in the browser
"""

space = App(name="space", help="Makes a Hugging Face Space of a model.", help_epilogue=EXAMPLES)

Bundle = Annotated[Path, Parameter(help="A model that `wiggly train` wrote.")]
Static = Annotated[
    bool, Parameter(negative="", show_default=False, help="No server: the model runs in the browser.")
]


@space.command(help_epilogue=EXAMPLES)
def new(
    folder: Annotated[Path, Parameter(help="Where to: a new folder, or one written by this command.")],
    bundle: Bundle,
    /,
    *,
    static: Static = False,
) -> int:
    """Writes the folder of a Space: the program, the model, exact versions."""
    from wiggly.apps.space.folder import write_space

    written = write_space(bundle, folder, static=static)
    print(f"{folder}: {len(written)} files, {sum(written.values()) / 1e6:.1f} MB")
    if static:
        print(f"Try it: python -m http.server --bind 127.0.0.1 --directory {folder}")
    else:
        print("Try it, in an environment of its own:")
        print(f"cd {folder} && pip install -r requirements.txt && python app.py")
    return 0


@space.command(help_epilogue=EXAMPLES)
def push(
    name: Annotated[str, Parameter(help="user/name of the Space; it is made where it is not there.")],
    bundle: Bundle,
    /,
    *,
    private: Annotated[
        bool, Parameter(negative="", show_default=False, help="Only its owner sees it.")
    ] = False,
    static: Static = False,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Show what would be pushed; nothing is sent.")
    ] = False,
    timeout: Annotated[float, Parameter(help="Seconds until it must run.")] = 1800.0,
) -> int:
    """Pushes a Space in one commit, waits until it runs, asks it for the worked examples, and compares.

    The token is that of `hf auth login`, or of the variable HF_TOKEN.
    """
    if dry_run:
        from wiggly.apps.space.folder import space_contents

        _show(name, space_contents(bundle, static=static), private)
        return 0
    from wiggly.apps.space.push import push_space

    push_space(name, bundle, private=private, static=static, timeout=timeout)
    return 0


def _show(name: str, files: Mapping[str, bytes], private: bool) -> None:
    """The files that would be pushed, and the settings among them."""
    for path, content in sorted(files.items()):
        print(f"{len(content):>12,}  {path}")
    settings = files["README.md"].decode().split("---\n")[1]
    seen = "private" if private else "public"
    print(
        f"\n{len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB, to the {seen} Space {name}:\n"
    )
    print(settings, end="")
