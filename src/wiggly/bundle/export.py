"""From a learner to a bundle: network, weights, preprocessing, and photos that prove the copy right.

In: a trained learner. Out: one file, read back and run before it takes its name, so that a bundle that is
there works. Read next: `manifest.py`, what is written down.
"""

from __future__ import annotations

import copy
import os
import stat
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from wiggly.bundle.archive import describe_file, is_bundle, read_archive, write_archive
from wiggly.bundle.boxes import describe_boxes, work_out_boxes
from wiggly.bundle.describe import (
    describe_input,
    describe_model,
    describe_output,
    last_metrics,
    measure_score,
    measured_metrics,
    versions,
    wiggly_version,
)
from wiggly.bundle.examples import choose_examples, choose_pictures
from wiggly.bundle.manifest import (
    FORMAT,
    VERSION,
    WEIGHTS,
    BoxesOutput,
    BoxExample,
    CategoryOutput,
    Example,
    ImageInput,
    Label,
    Manifest,
)
from wiggly.bundle.predictor import predictor_of, preprocess, read_preprocessing, run_model
from wiggly.errors import BundleError, StorageError
from wiggly.train.checkpoint import replacing
from wiggly.vision.detection.learner import DetectionLearner

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["export_bundle"]

#: The learner may predict on a GPU or in half precision, the bundle does it on a CPU in float32: wide enough
#: for that.
LEARNER_TOLERANCE = 2e-2


def export_bundle(
    learn: Learner,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    description: str = "",
    licence: str | None = None,
    examples: int = 5,
    overwrite: bool = False,
) -> Path:
    """Write a learner as one file that `load_bundle`, `wiggly predict` and `wiggly app` run.

    The bundle holds no code, no training data and no labelling function. It does hold a few validation photos
    as worked examples, made small and without their metadata. The validation set is predicted once, for the
    score it carries.

    Args:
        learn: A learner of `vision_learner` with one image in and one category out, or of
            `detection_learner`.
        path: The file to write, exactly as given, whatever its suffix. A bundle that is there is replaced.
        title: Name for people; by default that of the file.
        description: A few sentences for people.
        licence: SPDX identifier of the terms for using the model.
        examples: Number of validation photos to put in, of different classes; 0 keeps all photos private.
        overwrite: Replace what is at `path` even if it is no bundle.

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
    finds = isinstance(learn, DetectionLearner)
    output = describe_boxes(learn) if finds else describe_output(learn)
    config, image = describe_model(learn), describe_input(learn)
    model = _frozen_copy(learn.model)
    pictures = _pictures(learn, examples, finds)
    files = {WEIGHTS: _weights(model), **{name: content for name, (content, _) in pictures.items()}}
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        wiggly=wiggly_version(),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        task="detection" if finds else "classification",
        title=_title(place) if title is None else title,
        inputs=(image,),
        outputs=(output,),
        model=config,
        files={name: describe_file(content) for name, content in files.items()},
        examples=tuple(_answers(learn, model, image, output, pictures)),
        description=description,
        licence=licence,
        score=None if finds else measure_score(learn),
        metrics=measured_metrics(learn) if finds else last_metrics(learn),
        versions=versions(),
    )
    _write_proved(place, manifest, files)
    return place


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


def _pictures(learn: Learner, n: int, finds: bool) -> dict[str, tuple[bytes, Label | None]]:
    """Example files by name, with the label the data gives them."""
    dataset = learn.dls.valid.dataset
    chosen = (
        ((content, None) for content in choose_pictures(dataset, n)) if finds else choose_examples(dataset, n)
    )
    return {f"examples/{i}.png": pair for i, pair in enumerate(chosen, 1)}


def _answers(
    learn: Learner,
    model: nn.Module,
    image: ImageInput,
    output: CategoryOutput | BoxesOutput,
    pictures: Mapping[str, tuple[bytes, Label | None]],
) -> Sequence[Example | BoxExample]:
    if isinstance(output, CategoryOutput):
        return _work_out(learn, model, image, output, pictures)
    contents = {name: content for name, (content, _) in pictures.items()}
    return work_out_boxes(learn, model, image, output, contents, LEARNER_TOLERANCE)


def _work_out(
    learn: Learner,
    model: nn.Module,
    image: ImageInput,
    output: CategoryOutput,
    pictures: Mapping[str, tuple[bytes, Label | None]],
) -> list[Example]:
    """What the learner's own network answers for each example file, read the way the bundle's reader will."""
    block, transforms = read_preprocessing(image)
    worked: list[Example] = []
    for name, (content, actual) in pictures.items():
        probs = run_model(model, preprocess(content, block, transforms)[None], output.activation)[0]
        if not bool(torch.isfinite(probs).all()):
            raise BundleError(
                "a model must answer with numbers",
                f"it answers NaN for a photo of {actual!r}: training has diverged",
                "Load an earlier state with `learn.load`, or train again with a smaller rate.",
            )
        _compare(learn, content, probs, actual)
        label = output.vocabulary[int(probs.argmax())]
        worked.append(Example(name, label, actual, tuple(round(p, 8) for p in probs.tolist())))
    return worked


def _compare(learn: Learner, content: bytes, probs: Tensor, actual: Label | None) -> None:
    """The same file through `learn.predict`: another activation or way of reading files would show here."""
    difference = float((learn.predict(content).probs.float().cpu() - probs).abs().max())
    if not difference <= LEARNER_TOLERANCE:
        raise BundleError(
            "a bundle must answer as its learner does",
            f"for a photo of {actual!r} their probabilities differ by {difference:.2g}",
            "Use a loss with the usual activation of its target (softmax for one category).",
        )


def _write_proved(place: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write aside, read back, run the worked examples, and only then take the name."""
    with replacing(place) as aside:
        write_archive(aside, manifest, files)
        predictor_of(read_archive(aside), name="this learner").verify()
