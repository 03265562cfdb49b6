"""The command line: one verb per step from a folder of photos to an app.

In: the words after `wiggly`. Out: an exit code: 0 done, 1 an error that was explained, 2 a command that was
not understood, 130 Ctrl-C. Nothing here imports torch before a command runs, so `wiggly --help` answers at
once. Read next: `options.py`, the options several verbs share, then `training.py` and `using.py`, the verbs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from cyclopts import App, CycloptsError

from wiggly import __version__
from wiggly.cli.checking import data
from wiggly.cli.cleaning import clean
from wiggly.cli.comparing import compare
from wiggly.cli.ios import ios
from wiggly.cli.notebook import notebook
from wiggly.cli.options import command_line
from wiggly.cli.pages import new, web
from wiggly.cli.proving import info, verify
from wiggly.cli.quiz import quiz
from wiggly.cli.running import run
from wiggly.cli.serving import serve as serve_http
from wiggly.cli.space import space
from wiggly.cli.training import lr_find, report, train
from wiggly.cli.using import predict, serve
from wiggly.errors import WigglyError

__all__ = ["main"]

INTRODUCTION = "From a folder of your photos to a model, a report on its errors, and an app other people use."

FIRST_STEPS = """Example:

    wiggly data check photos     # unreadable files, copies, leaks: before you train
    wiggly train photos          # photos/cat/1.jpg, photos/dog/2.jpg, ...
    wiggly predict photos.wiggly new.jpg
    wiggly app photos.wiggly     # a web page: drop a photo, read the label
    wiggly train people.csv --target income
"""

TRAIN_EXAMPLES = """Example:

    wiggly train photos --arch resnet34 --epochs 5
    wiggly train pets/images --label-regex '^(.+)_\\d+\\.jpg$'
    wiggly train scans --arch resnet10t --no-pretrained --size 64 --no-flip
    wiggly train photos --arch resnet34 --weights resnet34.safetensors
    wiggly train people.csv --target income --epochs 5
"""

PREDICT_EXAMPLES = """Example:

    wiggly predict photos.wiggly new.jpg another.png
    wiggly predict photos.wiggly inbox/ --json > labels.json
    wiggly predict people.wiggly new_people.csv > answers.csv
"""

APP_EXAMPLES = """Example:

    wiggly app photos.wiggly
    wiggly app photos.wiggly --host 0.0.0.0 --port 8000    # for others too
"""

SERVE_EXAMPLES = """Example:

    wiggly serve photos.wiggly
    curl -F file=@new.jpg http://127.0.0.1:8000/v1/predict
    wiggly serve photos.wiggly --host 0.0.0.0 --no-page --cors https://example.org
"""

WEB_EXAMPLES = """Example:

    wiggly web photos.wiggly site       # then put the folder `site` on any web host
    wiggly web photos.wiggly site --endpoint https://models.example.org
"""

REPORT_EXAMPLES = """Example:

    wiggly report photos.wiggly photos              # what training left out
    wiggly report photos.wiggly new_photos --all    # photos it has never seen
"""

COMPARE_EXAMPLES = """Example:

    wiggly compare photos --archs resnet18,mobilenetv3_large_100,convnext_tiny
    wiggly compare photos --archs resnet18,resnet50 --budget "10 min" --plot networks.png
"""

VERIFY_EXAMPLES = """Example:

    wiggly verify photos.wiggly                          # PyTorch and ONNX Runtime
    wiggly verify photos.wiggly --runtime onnxruntime --json
"""

IOS_EXAMPLES = """Example:

    wiggly ios pets.wiggly PetsApp --identifier org.example.pets
    wiggly ios pets.wiggly PetsApp --endpoint https://example.org    # asks a server, carries no model
"""

LR_FIND_EXAMPLES = """Example:

    wiggly lr-find photos --arch resnet34 --plot rates.png
"""

RUN_EXAMPLES = """Example:

    wiggly run --on paperspace:A4000 -- train photos --epochs 5
    wiggly run --on any:T4 --spot --yes -- train photos
    wiggly run --on paperspace:A4000 --dry-run -- train photos    # the task file and the price
"""

#: What errors call an argument in Python, and its option here.
OPTIONS = {
    "weights=": "--weights FILE.safetensors",
    "pretrained=False": "--no-pretrained",
    "`arch`": "--arch NAME",
    "valid_pct": "--valid-pct SHARE",
    "get_y": "--label-regex PATTERN or --label-csv FILE",
    "`pattern`": "--label-regex PATTERN",
    "csv_fname": "--label-csv FILE",
    "`groups`": "--group-regex PATTERN",
    "`archs`": "--archs NAME,NAME",
    "`budget`": '--budget "10 min"',
    "bs=": "--bs NUMBER",
    "`y_names`": "--target COLUMN",
    "`cat_names` and `cont_names`": "--categories and --numbers COLUMN,COLUMN",
    "size=": "--size PIXELS",
    "`edits`": "--edits FILE",
}
SUB_VERBS = {
    "clean": ("suspects", "apply", "status", "restore", "merge", "undo", "redo"),
    "quiz": ("stats", "export", "import", "reset", "page"),
}
OPTION_VERBS = ("train", "lr-find", "report", "data", "compare", "clean")

app = App(
    name="wiggly",
    help=INTRODUCTION,
    help_epilogue=FIRST_STEPS,
    help_format="markdown",
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.command(train, help_epilogue=TRAIN_EXAMPLES)
app.command(predict, help_epilogue=PREDICT_EXAMPLES)
app.command(serve, name="app", help_epilogue=APP_EXAMPLES)
app.command(serve_http, name="serve", help_epilogue=SERVE_EXAMPLES)
app.command(web, help_epilogue=WEB_EXAMPLES)
app.command(ios, help_epilogue=IOS_EXAMPLES)
app.command(space)
app.command(quiz)
app.command(new)
app.command(verify, help_epilogue=VERIFY_EXAMPLES)
app.command(info)
app.command(report, help_epilogue=REPORT_EXAMPLES)
app.command(lr_find, help_epilogue=LR_FIND_EXAMPLES)
app.command(compare, help_epilogue=COMPARE_EXAMPLES)
app.command(data)
app.command(clean)
app.command(notebook)
app.command(run, help_epilogue=RUN_EXAMPLES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code for the shell.

    Args:
        arguments: The words after `wiggly`; None takes those of this process.

    Returns:
        0 when it was done, 1 after an error, 2 when the command was not understood, 130 after Ctrl-C.

    Example:
        >>> main(["--version"])
        0.1.0
        0
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    command_line.set(tuple(words))
    try:
        return app(words, exit_on_error=False) or 0
    except CycloptsError:  # printed already, by the parser
        _say(f"See `wiggly {_verb(words)}--help`.", sys.stderr)
        return 2
    except WigglyError as error:
        _say(f"error: {error}{_options_for(error, words)}", sys.stderr)
        return 1
    except BrokenPipeError:  # `| head` has read enough; Python would complain again as it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        _say("interrupted", sys.stderr)
        return 130


def _verb(words: Sequence[str]) -> str:
    """The command the words begin with, and a blank; nothing when there is no such command."""
    if words and words[0] in SUB_VERBS:
        inner = len(words) > 1 and words[1] in SUB_VERBS[words[0]]
        return f"{words[0]} {words[1]} " if inner else f"{words[0]} "
    if list(words[:2]) == ["data", "check"] or (
        words and words[0] in ("notebook", "space") and len(words) > 1
    ):
        return f"{words[0]} {words[1]} "
    return (
        f"{words[0]} "
        if words
        and words[0]
        in {
            "train",
            "predict",
            "verify",
            "info",
            "app",
            "serve",
            "web",
            "ios",
            "report",
            "lr-find",
            "compare",
            "data",
            "run",
        }
        else ""
    )


def _options_for(error: WigglyError, words: Sequence[str]) -> str:
    """A last line that names the options behind the Python arguments an error speaks of."""
    if not words or words[0] not in OPTION_VERBS:
        return ""
    options = [option for argument, option in OPTIONS.items() if argument in str(error)]
    return f"\nOn the command line: {', '.join(options)}." if options else ""


def _say(text: str, stream: TextIO) -> None:
    print(text, file=stream, flush=True)
