"""The exported module as a web app: a folder with module, bundle, requirements, and the file to start.

In: a notebook and the bundle its `learn.export` wrote. Out: a folder that runs with `python app.py` where its
requirements are installed, and that is a Hugging Face Space as it stands. Read next: `export.py`, which
writes the module.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path, PurePosixPath

from wiggly.errors import NotebookError
from wiggly.notebook.alone import SERVING
from wiggly.notebook.directives import code_of, find_marks
from wiggly.notebook.export import Export, export_notebook
from wiggly.notebook.importing import HOME, fresh_environment
from wiggly.notebook.python import plain_python, quiet_parse
from wiggly.notebook.reading import Notebook, read_notebook
from wiggly.notebook.requirements import Requirements, find_requirements
from wiggly.notebook.writing import is_made, is_untouched, read_text, sealed, write_text

__all__ = ["export_app"]

LOADS = ("load_bundle", "load_learner")
PAGES = ("Blocks", "ChatInterface", "Interface", "TabbedInterface")  # what Gradio calls an app
NAME_A_BUNDLE = "Pass --bundle FILE (bundle=FILE): what `learn.export(FILE)` wrote."
MADE = "# Made from {} by `wiggly notebook export --app`.\n"

PAGE_OF_BUNDLE = '''
"""A page for the model in {bundle}: drop something in, read what the model says. Start it: python {file}"""

import os
from pathlib import Path

from wiggly.apps.page import serve

BUNDLE = Path(__file__).with_name("{bundle}")

if __name__ == "__main__":
    serve(BUNDLE, host=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))  # a Space sets the variable
'''
PAGE_OF_MODULE = '''
"""Starts the app that the notebook defines: python {file}"""

from {module} import {page}

if __name__ == "__main__":
    {page}.launch()
'''
RUN_MODULE = '''
"""Starts the app that the notebook defines: python {file}"""

import runpy

if __name__ == "__main__":
    runpy.run_module("{module}", run_name="__main__")
'''
README = """---
title: {title}
sdk: gradio
{sdk}app_file: {file}
---

# {title}

Made from the notebook {notebook} with wiggly. To run it here:

    pip install -r requirements.txt
    python {file}
"""


@dataclass(frozen=True)
class _Code:
    """What the exported code says about its app.

    Attributes:
        page: The name of the Gradio app it makes, if any.
        launches: Whether it starts the app itself.
        loads: File names of the bundles it loads.
    """

    page: str | None
    launches: bool
    loads: tuple[str, ...]


def export_app(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    bundle: str | os.PathLike[str] | None = None,
    check: bool = True,
    force: bool = False,
) -> Export:
    """Exports a notebook into a folder that is a web app.

    A Gradio app that the marked cells make (`demo = gr.Interface(...)`) is started as it is. When they make
    none, the page of the bundle is: drop a photo, read the label.

    Args:
        path: The notebook.
        folder: Where the app goes; made if missing.
        bundle: What `learn.export` wrote. By default the file the marked cells load, else the one the
            notebook exports, else the only one beside the notebook.
        check: Import the module in the folder, alone, and run the worked examples of the bundle.
        force: Replace files that were changed by hand. A README that is there is always kept.

    Raises:
        NotebookError: As `export_notebook`; also when no bundle can be found, or two notebook files want one
            name.
        BundleError: The bundle is damaged or does not answer as it should.
    """
    notebook, target = read_notebook(Path(path)), Path(folder)
    code = _read_code(notebook)
    bundles = _find_bundles(notebook, code, Path(bundle) if bundle is not None else None)
    if check:
        _verify(bundles.values())
    plain = export_notebook(path, target, check=False, force=force)
    for name, source in bundles.items():
        _copy(source, target / name, force)
    module = ".".join(plain.modules[0].relative_to(target).with_suffix("").parts)
    needs = plain.requirements
    for own in needs.local:
        _copy(own, target / own.name, force)
    start = _write_start(notebook, target, module, code, next(iter(bundles), None), force)
    needs = replace(needs, lines=_write_requirements(notebook, target, plain, start, force))
    _write_readme(notebook, target, start)
    done = replace(plain, requirements=needs)
    if not check:
        return done
    alone = export_notebook(path, target)
    problems = alone.problems or (
        () if code.page is not None or code.launches else _page_problems(target, start)
    )
    return replace(done, problems=problems, notes=tuple(dict.fromkeys([*done.notes, *alone.notes])))


def _read_code(notebook: Notebook) -> _Code:
    marks = find_marks(notebook)
    trees = [quiet_parse(plain_python(m.code, str(m.cell)).code) for m in (marks.cells if marks else ())]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    pages = [name for tree in trees for node in tree.body if (name := _page_name(node))]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    launches = any(isinstance(c.func, ast.Attribute) and c.func.attr in SERVING for c in calls)
    return _Code(pages[-1] if pages else None, launches, tuple(_texts(calls, LOADS)))


def _page_name(node: ast.stmt) -> str | None:
    """The name of a Gradio app that a statement makes, by assignment or by `with gr.Blocks() as demo`."""
    made, name = None, None
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        made, name = node.value, node.targets[0]
    elif isinstance(node, ast.With) and isinstance(node.items[0].context_expr, ast.Call):
        made, name = node.items[0].context_expr, node.items[0].optional_vars
    if made is None or not isinstance(name, ast.Name):
        return None
    kind = made.func.attr if isinstance(made.func, ast.Attribute) else getattr(made.func, "id", "")
    return name.id if kind in PAGES else None


def _texts(calls: Iterable[ast.Call], functions: Sequence[str]) -> list[str]:
    """The strings given to calls of functions or methods of these names."""
    named = [
        call
        for call in calls
        if (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", ""))
        in functions
    ]
    inner = [node for call in named for given in [*call.args[:1], *call.keywords] for node in ast.walk(given)]
    return list(
        dict.fromkeys(n.value for n in inner if isinstance(n, ast.Constant) and isinstance(n.value, str))
    )


def _find_bundles(notebook: Notebook, code: _Code, named: Path | None) -> dict[str, Path]:
    """The bundles of the app, by their names in its folder."""
    home = notebook.path.parent
    if code.loads:
        return {
            _inside(name): named if named and len(code.loads) == 1 else _there(home / name)
            for name in code.loads
        }
    if code.page is not None and named is None:
        return {}
    if named is not None:
        return {named.name: _there(named)}
    exported = [home / name for name in _exported_names(notebook) if (home / name).is_file()]
    found = exported[-1:] or sorted(home.glob("*.wiggly"))
    if len(found) != 1:
        received = (
            f"{len(found)} lie beside it" if found else "there is none beside it, and no cell exports one"
        )
        raise NotebookError(f"the app of '{notebook.path}' needs one bundle", received, NAME_A_BUNDLE)
    return {found[0].name: found[0]}


def _inside(name: str) -> str:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or Path(name).is_absolute():
        raise NotebookError(
            "an app's folder holds all it needs",
            f"a marked cell loads '{name}', which lies outside",
            f"Load it by its name: `load_learner('{place.name}')`.",
        )
    return place.as_posix()


def _there(path: Path) -> Path:
    if not path.is_file():
        raise NotebookError(
            f"the bundle '{path}' must be there", "it is not", f"Run `learn.export` first. {NAME_A_BUNDLE}"
        )
    return path


def _exported_names(notebook: Notebook) -> list[str]:
    """What the notebook's cells write with `learn.export(...)`, in their order."""
    names: list[str] = []
    for cell in notebook.cells:
        if cell.kind == "code":
            try:
                tree = quiet_parse(plain_python(code_of(cell), str(cell)).code)
            except NotebookError:
                continue
            names += _texts([node for node in ast.walk(tree) if isinstance(node, ast.Call)], ["export"])
    return names


def _verify(bundles: Iterable[Path]) -> None:
    from wiggly.bundle.predictor import load_bundle

    for path in bundles:
        load_bundle(path).verify()


def _copy(source: Path, target: Path, force: bool) -> None:
    """Copies a bundle, or a module of the user's own, unless another file is there."""
    if source.resolve() == target.resolve():
        return
    if source.is_dir():
        for file in sorted(source.rglob("*.py")):
            _copy(file, target / file.relative_to(source), force)
        return
    from wiggly.bundle.archive import is_bundle

    if target.exists() and not force and target.read_bytes() != source.read_bytes() and not is_bundle(target):
        raise _in_the_way(target, "another file is there")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write_start(
    notebook: Notebook, folder: Path, module: str, code: _Code, bundle: str | None, force: bool
) -> str:
    """Writes the file that starts the app, unless the module is that itself, and returns its name."""
    if code.launches and module == "app":
        return "app.py"
    file = "app.py" if module != "app" else "main.py"
    if code.launches:
        text = RUN_MODULE.format(module=module, file=file)
    elif code.page is not None:
        text = PAGE_OF_MODULE.format(module=module, page=code.page, file=file)
    else:
        text = PAGE_OF_BUNDLE.format(bundle=bundle, file=file)
    _write_made(folder / file, sealed(MADE.format(notebook.path.name), text), force)
    return file


def _write_requirements(
    notebook: Notebook, folder: Path, plain: Export, start: str, force: bool
) -> tuple[str, ...]:
    files = dict.fromkeys([*plain.modules, folder / start])
    sources = [file.read_text("utf-8") for file in files]
    paged = any("wiggly.apps" in source for source in sources)
    needs: Requirements = find_requirements(sources, [folder], {"wiggly": "app"} if paged else None)
    text = "".join(f"{line}\n" for line in needs.lines)
    _write_made(folder / "requirements.txt", sealed(MADE.format(notebook.path.name), text), force)
    return needs.lines


def _write_made(path: Path, text: str, force: bool) -> None:
    there = read_text(path)
    if there is not None and there != text and not force and not is_untouched(there):
        raise _in_the_way(path, "it was changed by hand since" if is_made(there) else "another file is there")
    write_text(path, text)


def _in_the_way(path: Path, received: str) -> NotebookError:
    return NotebookError(
        f"'{path}' must be free, or as an export wrote it",
        received,
        "Choose another folder, or pass --force (force=True) to replace it.",
    )


def _write_readme(notebook: Notebook, folder: Path, start: str) -> None:
    """A README whose head tells Hugging Face what to start; one that is there is the user's."""
    if (folder / "README.md").exists():
        return
    try:
        sdk = f"sdk_version: {metadata.version('gradio')}\n"
    except metadata.PackageNotFoundError:
        sdk = ""
    title = folder.resolve().name.replace("_", " ").replace("-", " ").capitalize()
    write_text(
        folder / "README.md", README.format(title=title, sdk=sdk, file=start, notebook=notebook.path.name)
    )


def _page_problems(folder: Path, start: str) -> tuple[str, ...]:
    """Why the page of the bundle cannot be made in the folder, if it cannot."""
    program = (
        f"import sys\nsys.path.append({HOME!r})\n"
        "from wiggly.apps.page import make_app\nfrom wiggly.bundle.predictor import load_bundle\n"
        f"from {Path(start).stem} import BUNDLE\nmake_app(load_bundle(BUNDLE))"
    )
    environment = {**fresh_environment(), "GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    fault = next(
        (line for line in reversed(lines) if not line.startswith(" ") and ": " in line), "no message"
    )
    return () if done.returncode == 0 else (f"`python {start}` cannot make the page: {fault}",)
