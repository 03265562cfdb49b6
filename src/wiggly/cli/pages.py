"""The verbs `web` and `new ui`: a model as a page for any web host, and a TypeScript project around one.

In: a bundle or an address, and where to. Out: a folder. Read next: `../apps/web.py`, `../apps/scaffold.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

__all__ = ["new", "web"]

NEW_EXAMPLES = """Example:

    wiggly new ui pets-site --bundle pets.wiggly
    wiggly new ui pets-site --endpoint https://models.example.org
"""

new = App(name="new", help="Starts projects of your own around a model.", help_epilogue=NEW_EXAMPLES)


def web(
    bundle: Annotated[Path, Parameter(help="A model that `wiggly train` wrote.")],
    folder: Annotated[Path, Parameter(help="Where to: a new folder, or one written by this command.")],
    /,
    *,
    endpoint: Annotated[
        str | None,
        Parameter(
            help="Address of a server (`wiggly serve`) that is asked; without it the model runs in the "
            "visitor's browser."
        ),
    ] = None,
    precision: Annotated[
        str, Parameter(help="Which graph is taken along: float32, float16 or int8.")
    ] = "float32",
) -> int:
    """Writes a folder ready for any web host: the page, and the model that runs in the visitor's browser."""
    from wiggly.apps.web import write_page

    page = write_page(bundle, folder, endpoint=endpoint, precision=precision)
    model = f", and the model {page.model / 1e6:.1f} MB" if page.model else f", which asks {endpoint}"
    print(f"{page.folder}: first load {page.first_load / 1e6:.1f} MB at most{model}")
    print(f"Try it: python -m http.server --bind 127.0.0.1 --directory {page.folder}")
    return 0


@new.command(help_epilogue=NEW_EXAMPLES)
def ui(
    name: Annotated[Path, Parameter(help="The folder to make.")],
    /,
    *,
    bundle: Annotated[
        Path | None,
        Parameter(help="A model that runs in the visitor's browser; it is copied into the project."),
    ] = None,
    endpoint: Annotated[
        str | None, Parameter(help="Address of a server (`wiggly serve`) that is asked.")
    ] = None,
) -> int:
    """Makes a TypeScript project of your own on the client: `npm install && npm run dev` shows it."""
    from wiggly.apps.scaffold import new_ui

    folder = new_ui(name, bundle=bundle, endpoint=endpoint)
    print(f"{folder} is there. Now: cd {folder} && npm install && npm run dev")
    return 0
