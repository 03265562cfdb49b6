"""From a learner to a bundle: network, weights, preprocessing, and photos that prove the copy right.

In: a trained learner. Out: one file, read back and run before it takes its name, so that a bundle that is
there works. Read next: `manifest.py`, what is written down.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import stat
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save as save_tensors
from torch import nn

from wiggly.bundle.agreeing import measure_agreement, validation_items
from wiggly.bundle.answers import answer_of, describe_outputs
from wiggly.bundle.archive import describe_file, is_bundle, read_archive, write_archive
from wiggly.bundle.calibration import calibrated
from wiggly.bundle.card import CARD, card_of, origin_of_weights
from wiggly.bundle.describe import describe_model, versions, wiggly_version
from wiggly.bundle.graph.making import Graphs, check_variants, make_graphs
from wiggly.bundle.held_out import HeldOut
from wiggly.bundle.manifest import FORMAT, VERSION, WEIGHTS, Manifest
from wiggly.bundle.parts import CategoryOutput, Output, WorkedOut
from wiggly.bundle.predictor import Predictor
from wiggly.bundle.readers import reader_of, reader_to_describe
from wiggly.bundle.runner import Runner
from wiggly.bundle.several import SeveralAnswer
from wiggly.errors import BundleError, StorageError
from wiggly.train.checkpoint import replacing

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["export_bundle"]

#: A learner that predicts on a GPU or in half precision may differ by so much from its bundle, which is tried
#: on a CPU in float32.
LEARNER_TOLERANCE = 2e-2

#: Worked examples when nobody says, and so many where each class can have one: a bundle is passed around.
USUAL_EXAMPLES, MOST_EXAMPLES = 6, 12


def export_bundle(
    learn: Learner,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    description: str = "",
    licence: str | None = None,
    examples: int | None = None,
    overwrite: bool = False,
    calibrate: bool = True,
    wanted_accuracy: float | None = None,
    graph: bool = True,
    variants: Sequence[str] = (),
    bound: float = 0.01,
) -> Path:
    """Write a learner as one file that `load_bundle`, `wiggly predict` and `wiggly app` run.

    The bundle holds no code, no training data and no labelling function. It does hold a few validation items
    as worked examples: photos, made small and without their metadata, or rows of the table. The validation
    set is predicted once, for the score it carries.

    Args:
        learn: A learner of `vision_learner`, `unet_learner`, `detection_learner` or `tabular_learner`, with
            one target: one or several labels, numbers, points, a mask, labelled boxes; of a table also more.
        path: The file to write, exactly as given, whatever its suffix. A bundle that is there is replaced.
        title: Name for people; by default that of the file.
        description: A few sentences for people.
        licence: SPDX identifier of the terms for using the model; None takes those of the pretrained weights
            that it started from, where they are known.
        examples: Number of validation items to put in, of every class where they suffice; 0 keeps all of
            them private. None takes 6, or one of each class where there are 7 to 12.
        overwrite: Replace what is at `path` even if it is no bundle.
        calibrate: Fit a temperature on the validation items, so that probabilities are shares of right
            answers; the likeliest class never changes by it.
        wanted_accuracy: How often answers that are not "unsure" should be right, in (0, 1]; None halves the
            errors. See `wiggly.bundle.calibration.choose_unsure`.
        graph: Also write the model for ONNX Runtime, preprocessing included, which predicts without PyTorch:
            in a browser, say. It needs the packages of "wiggly[export]" and takes some seconds. Where an
            operator has no counterpart the bundle is written without it, and a line says so.
        variants: Smaller graphs to try: "fp16", "int8".
        bound: By how much accuracy (or the share of answers that stay the same) may be worse for a variant
            to be kept; 0.01 is one percentage point, measured on validation items.

    Returns:
        The path.

    Raises:
        BundleError: The learner holds something that cannot travel as data (a network or transform of your
            own), or the bundle does not answer as the learner does. Nothing is written.
        StorageError: The file cannot be written. What was there before is untouched.

    Example:
        >>> from PIL import Image
        >>> from wiggly import ImageDataLoaders, load_bundle, vision_learner
        >>> photos = [Image.new("RGB", (32, 32), colour) for colour in ["red", "blue"] * 8]
        >>> dls = ImageDataLoaders.from_lists(".", photos, ["red", "blue"] * 8, seed=1, bs=4)
        >>> learn = vision_learner(dls, "test_resnet", pretrained=False)
        >>> path = export_bundle(learn, "colours.wiggly", title="Red or blue", licence="CC0-1.0")
        >>> load_bundle(path).vocab
        ['blue', 'red']
    """
    place = Path(path).expanduser()
    _check_place(place, overwrite)
    check_variants(variants, graph, bound)
    reads, seen, config = reader_to_describe(learn), HeldOut(learn), describe_model(learn)
    described = describe_outputs(learn)
    outputs = calibrated(seen, described, calibrate, wanted_accuracy)
    taken, answer = reads.describe(learn), answer_of(outputs)
    model = _frozen_copy(learn.model)
    runner = Runner(reader_of(taken, "this learner"), model, answer)
    plain = Runner(runner.reader, model, answer_of(described))  # at temperature 1, as the learner answers
    worked, files = _worked_examples(
        learn, runner, plain, _enough(described) if examples is None else examples
    )
    graphs = Graphs(reason="It was not asked for.")
    if graph:
        content = {example.file: files[example.file] for example in worked}
        items = partial(validation_items, learn, runner)
        graphs = make_graphs(runner, taken, outputs, content, items, variants, bound)
    files = {WEIGHTS: _weights(model), **files, **graphs.files}
    score, metrics = answer.measure(learn, seen)
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        wiggly=wiggly_version(),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        task=reads.task or answer.task,
        title=_title(place) if title is None else title,
        inputs=(taken,),
        outputs=outputs,
        model=config,
        files={name: describe_file(content) for name, content in files.items()},
        examples=worked,
        description=description,
        licence=licence or origin_of_weights(config).get("licence"),
        score=score,
        metrics=metrics,
        versions=versions(),
        graphs=graphs.graphs,
        no_graph=graphs.reason,
        quality=graphs.quality,
        agreement=measure_agreement(learn, plain),
    )
    manifest, files = _with_card(manifest, files)
    _write_proved(place, manifest, files)
    return place


def _with_card(manifest: Manifest, files: Mapping[str, bytes]) -> tuple[Manifest, dict[str, bytes]]:
    """With the model card among the files."""
    card = card_of(manifest).encode()
    listed = {**manifest.files, CARD: describe_file(card)}
    return dataclasses.replace(manifest, files=listed), {**files, CARD: card}


def _title(place: Path) -> str:
    """The name of the file, as a person would write it."""
    words = place.stem.replace("_", " ").strip() or "model"
    return words[0].upper() + words[1:]


def _check_place(place: Path, overwrite: bool) -> None:
    """Find out before the work is done whether the result can be put there and would destroy nothing."""
    try:
        there = place.stat()
    except FileNotFoundError:
        there = None
    except OSError as error:  # a name that is too long, a file where a folder should be
        raise StorageError(
            "`path` must name a file", f"'{place}' cannot: {error.strerror}", "Choose another name."
        ) from error
    if there is not None and not stat.S_ISREG(there.st_mode):
        what = "a folder" if stat.S_ISDIR(there.st_mode) else "a device"
        raise StorageError("`path` must name a file", f"'{place}' is {what}", "Name a file in a folder.")
    if there is not None and there.st_size and not (overwrite or is_bundle(place)):
        raise StorageError(
            "`path` must be free or an earlier bundle",
            f"'{place}' is a file of another kind",
            "Choose another name, or move that file away.",
        )
    if place.parent.exists() and not os.access(place.parent, os.W_OK):
        raise StorageError(
            "the folder of a bundle must be writable",
            f"'{place.parent}' is not",
            "Choose a folder you may write to.",
        )


def _frozen_copy(model: nn.Module) -> nn.Module:
    """The network as the bundle will run it, on the CPU in float32; the learner's own is left alone."""
    return copy.deepcopy(model).to("cpu", torch.float32).eval()


def _weights(model: nn.Module) -> bytes:
    # Cloned, because safetensors refuses tensors that share memory; contiguous, because it stores no strides.
    tensors = {
        name: part.detach().clone(memory_format=torch.contiguous_format)
        for name, part in model.state_dict().items()
    }
    return save_tensors(tensors)


def _worked_examples(
    learn: Learner, runner: Runner, plain: Runner, n: int
) -> tuple[tuple[WorkedOut, ...], dict[str, bytes]]:
    """Worked examples and their files: what the network answers for each, read the way the bundle's reader
    will."""
    first = runner.answer.parts[0] if isinstance(runner.answer, SeveralAnswer) else runner.answer
    by_class = type(first).by_class
    worked: list[WorkedOut] = []
    files: dict[str, bytes] = {}
    for number, chosen in enumerate(reader_to_describe(learn).choose(learn, n, by_class), 1):
        name = f"examples/{number}{chosen.suffix}"
        found = runner.predict(chosen.content)
        if not runner.answer.is_finite(found):
            said = "" if chosen.actual is None else f" for one of {chosen.actual!r:.80}"
            raise BundleError(
                "a model must answer with numbers",
                f"it answers NaN{said}: training has diverged",
                "Load an earlier state with `learn.load`, or train again with a smaller rate.",
            )
        _compare(learn, plain, chosen.content)
        example, more = runner.answer.work_out(name, found, chosen.actual)
        worked.append(example)
        files |= {name: chosen.content, **more}
    return tuple(worked), files


def _enough(outputs: Sequence[Output]) -> int:
    """How many worked examples there are when nobody says."""
    one = outputs[0] if len(outputs) == 1 else None
    classes = len(one.vocabulary) if isinstance(one, CategoryOutput) else 0
    return classes if USUAL_EXAMPLES < classes <= MOST_EXAMPLES else USUAL_EXAMPLES


def _compare(learn: Learner, runner: Runner, content: bytes) -> None:
    """The same item through `learn.predict`: another activation or way of reading would show here."""
    answer, item = runner.answer, runner.reader.item_of(content)
    wanted, found = answer.of_learner(learn.predict(item)), runner.predict(item)
    same = learn.engine.device.type == "cpu" and learn.engine.precision == "float32"
    allowed = answer.tolerance if same else LEARNER_TOLERANCE
    difference = answer.apart(wanted, found, allowed)
    if not difference <= allowed:
        raise BundleError(
            "a bundle must answer as its learner does",
            f"for a validation item its answer {answer.unlike(difference)}",
            answer.remedy,
        )


def _write_proved(place: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write aside, read back, run the worked examples, and only then take the name."""
    with replacing(place) as aside:
        write_archive(aside, manifest, files)
        Predictor(read_archive(aside), name="this learner").verify()
