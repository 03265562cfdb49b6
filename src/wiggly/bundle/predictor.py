"""A bundle, ready to answer: `load_bundle(path).predict("photo.jpg")`. No training code is imported.

In: a bundle file. Out: `Prediction`s, the same as those of the learner that wrote it: the file is read,
cropped and scaled by the very code of the validation loader. Read next: `export.py`, which writes the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from random import Random
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from wiggly.bundle.archive import Archive, read_archive
from wiggly.bundle.manifest import WEIGHTS, CategoryOutput, Example, ImageInput, Label, Manifest
from wiggly.data.blocks import Vocab
from wiggly.data.dataset import Dataset, identity
from wiggly.data.loader import DataLoader
from wiggly.data.transform import Transform
from wiggly.errors import BundleError, WigglyError
from wiggly.records import Prediction
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.image import PILImage, PILImageBW
from wiggly.vision.models import build_model

__all__ = ["Predictor", "WorkedExample", "load_bundle", "load_learner", "predictor_of"]

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.softmax(-1),
    "sigmoid": lambda logits: logits.sigmoid(),
    "none": lambda outputs: outputs,
}


@dataclass(frozen=True)
class WorkedExample:
    """An input and what the model must answer.

    Attributes:
        name: File name in the bundle.
        content: The bytes of the image file: `predictor.predict(example.content)`.
        label: The class the learner predicted for exactly these bytes.
        actual: The class the data gave, None if unknown.
        probabilities: The learner's activated outputs, `(c,)`.
    """

    name: str
    content: bytes
    label: Label
    actual: Label | None
    probabilities: Tensor


@dataclass(frozen=True)
class PredictorData:
    """What is left of the loaders: `predictor.dls.vocab`, where the course's code looks for the classes."""

    vocab: Vocab


class Predictor:
    """A trained model with everything that belongs to it, for predictions only.

    Args:
        archive: A bundle that was read; `load_bundle(path)` does both.
        device: Where to run.
        name: How errors call the bundle.

    Attributes:
        manifest: The content of `model.json`.
        model: The network, in evaluation mode.
        vocab: The classes, in the order of `Prediction.probs`.

    Raises:
        BundleError: The network cannot be built from the manifest, or the weights do not fit it.
    """

    def __init__(
        self, archive: Archive, device: str | torch.device = "cpu", name: str = "the bundle"
    ) -> None:
        self.manifest, self.device = archive.manifest, torch.device(device)
        self.vocab = Vocab(self.manifest.outputs[0].vocabulary)
        self._files = archive.files
        self._block, self._transforms = read_preprocessing(self.manifest.inputs[0])
        self.model = _build(self.manifest, archive.files[WEIGHTS], name).to(self.device)

    def __repr__(self) -> str:
        return f"<Predictor {self.manifest.title!r}: {len(self.vocab)} classes>"

    @property
    def dls(self) -> PredictorData:
        """`.dls.vocab`: the classes, where code written for a learner looks for them."""
        return PredictorData(self.vocab)

    @property
    def examples(self) -> list[WorkedExample]:
        """The worked examples that came with the model."""
        return [self._example(e) for e in self.manifest.examples if isinstance(e, Example)]

    def predict(self, item: Any) -> Prediction:
        """Predict one item.

        Args:
            item: Path, bytes of an image file, PIL image, array `(h, w)` or `(h, w, c)`, or tensor
                `(c, h, w)`.

        Returns:
            `(label, index, probs)`; `probs` has one entry for each class of `vocab`.

        Raises:
            ItemError: It cannot be read as an image.
        """
        image = preprocess(item, self._block, self._transforms)
        return self._decode(run_model(self.model, image[None].to(self.device), self._activation)[0])

    def predict_batch(self, items: Iterable[Any], bs: int = 32) -> list[Prediction]:
        """Predict many items: files are read in threads while the model runs.

        Args:
            items: As for `predict`.
            bs: Images per pass through the model.

        Returns:
            One prediction per item, in their order.

        Raises:
            ItemError: One cannot be read as an image; the message names it.
        """
        wanted = list(items)
        if not wanted:
            return []
        loader = DataLoader(
            reading(wanted, self._block, self._transforms),
            bs if self._fixed_size else 1,
            seed=0,
            max_bad=0.0,
        )
        batches = (
            run_model(self.model, batch.inputs[0].to(self.device), self._activation)
            for batch in loader.batches()
        )
        return [self._decode(row) for batch in batches for row in batch]

    def verify(self, tolerance: float = 1e-4) -> float:
        """Run the worked examples and compare with what the learner answered.

        Args:
            tolerance: Largest difference of a probability allowed: above what rounding does, below what
                anybody would notice.

        Returns:
            The largest difference seen; 0.0 without examples.

        Raises:
            BundleError: It is above `tolerance`.
        """
        worst = 0.0
        for example in self.examples:
            found = self.predict(example.content).probs
            difference = float((found - example.probabilities).abs().max())
            if not difference <= tolerance:  # so that NaN does not pass
                raise BundleError(
                    f"worked examples must come out within {tolerance:g} of the recorded probabilities",
                    f"'{example.name}' is {difference:.2g} off",
                    f"This machine computes something else: use the versions the model was made with "
                    f"({_versions(self.manifest)}), or export it again.",
                )
            worst = max(worst, difference)
        return worst

    @property
    def _fixed_size(self) -> bool:
        return self.manifest.inputs[0].size is not None

    @property
    def _activation(self) -> str:
        output = self.manifest.outputs[0]
        return output.activation if isinstance(output, CategoryOutput) else "none"

    def _decode(self, probs: Tensor) -> Prediction:
        index = probs.argmax()
        return Prediction(self.vocab[index], index, probs)

    def _example(self, example: Example) -> WorkedExample:
        probabilities = torch.tensor(example.probabilities)
        return WorkedExample(
            example.file, self._files[example.file], example.label, example.actual, probabilities
        )


def load_bundle(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Predictor:
    """Load what `learn.export` wrote. Nothing in the file is executed, whoever made it.

    Args:
        path: The bundle.
        device: Where predictions run; "cpu" because a single photo gains nothing from a GPU.

    Returns:
        A `Predictor`: `.predict(item)`, `.vocab`, `.verify()`, `.manifest`; for a detector one whose
        `predict` gives boxes.

    Raises:
        StorageError: The file cannot be read.
        BundleError: It is no bundle, damaged, changed after it was written, or of a newer version.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("holiday.jpg").write_text("a photo, perhaps")
        >>> load_bundle("holiday.jpg")
        Traceback (most recent call last):
        ...
        wiggly.errors.BundleError: 'holiday.jpg' must be a bundle; it is a file of another kind.
        Pass the path of a file that `learn.export` wrote.
    """
    return predictor_of(read_archive(path), device, f"'{os.fspath(path)}'")


def predictor_of(archive: Archive, device: str | torch.device = "cpu", name: str = "the bundle") -> Predictor:
    """The predictor for the task of a bundle; see `Predictor` for the arguments."""
    if archive.manifest.task == "detection":
        from wiggly.bundle.boxes import BoxPredictor

        return BoxPredictor(archive, device, name)
    return Predictor(archive, device, name)


def load_learner(fname: str | os.PathLike[str], cpu: bool = True) -> Predictor:
    """`load_bundle` under the name the course uses.

    Args:
        fname: The bundle, whatever its suffix.
        cpu: False runs on the GPU where there is one.
    """
    return load_bundle(fname, "cuda" if not cpu and torch.cuda.is_available() else "cpu")


def read_preprocessing(described: ImageInput) -> tuple[ImageBlock, list[Transform]]:
    """The block and the transforms that `model.json` describes.

    Raises:
        BundleError: A name is unknown to this wiggly, or arguments do not fit.
    """
    import_module("wiggly.vision.augment")  # fills the table in which names are looked up
    steps = [{"name": step.name, "args": step.args} for step in described.preprocessing]
    return ImageBlock(PILImage if described.channels == 3 else PILImageBW), [
        Transform.from_config(step) for step in steps
    ]


def preprocess(item: Any, block: ImageBlock, transforms: list[Transform]) -> Tensor:
    """One item as the model takes it, `(c, h, w)` in [0, 1]: what the validation loader does.

    Raises:
        ItemError: It cannot be read as an image.
    """
    return block.encode(reading([item], block, transforms).sample(0, Random(0))[0])


def run_model(model: nn.Module, images: Tensor, activation: str) -> Tensor:
    """Activated outputs `(n, c)` on the CPU for images `(n, c, h, w)` in [0, 1]."""
    with torch.inference_mode():
        return ACTIVATIONS[activation](
            model(images.contiguous(memory_format=torch.channels_last)).float()
        ).cpu()


def reading(items: list[Any], block: ImageBlock, transforms: list[Transform]) -> Dataset:
    """Items as the validation loader would read them."""
    return Dataset(items, [identity], [block], 1, transforms, labelled=False)


def _build(manifest: Manifest, weights: bytes, name: str) -> nn.Module:
    _check_network(manifest.model, name)
    try:
        with torch.random.fork_rng(
            devices=[]
        ):  # weights are drawn, to be replaced: no reason to move the user's draws
            model = _rebuild(manifest)
    except Exception as error:  # timm and torchvision raise anything for arguments that a stranger made up
        reason = (
            f"{error.rule}; {error.received}"
            if isinstance(error, WigglyError)
            else f"{type(error).__name__}: {error}"
        )
        raise BundleError(
            f"the network of {name} must be one that can be built here",
            reason,
            f"Install the versions it was made with: {_versions(manifest)}.",
        ) from error
    try:
        model.load_state_dict(load_tensors(weights))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(
            f"the weights of {name} must fit the network its model.json describes",
            " ".join(str(error).split())[:300],
            f"Install the versions it was made with ({_versions(manifest)}), or export the model again.",
        ) from error
    model.to(memory_format=torch.channels_last)
    return model.eval()


def _rebuild(manifest: Manifest) -> nn.Module:
    if manifest.task == "detection":
        from wiggly.vision.detection.models import build_detector

        return build_detector(manifest.model)
    return build_model(manifest.model)


def _check_network(config: Mapping[str, Any], name: str) -> None:
    """Refuse descriptions by which timm would read another file or go to the network."""
    body = config.get("body")
    described = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    library, arch, arguments = (described.get(key) for key in ("library", "arch", "arch_args"))
    fault = ""
    if (
        library not in ("timm", "torchvision")
        or not isinstance(arch, str)
        or not re.fullmatch(r"\w+(\.\w+)*", arch)
    ):
        fault = f"it is {arch!r} of {library!r}"
    for key in map(str, cast("dict[str, Any]", arguments or {})):
        if re.search("pretrained|checkpoint|cache_dir|^weights|(^|_)(file|url|dir)(_|$)", key):
            fault = f"its argument `{key}` could load something from elsewhere"
    if fault:
        raise BundleError(
            f"the network of {name} must be named by a timm or torchvision architecture and plain arguments",
            fault,
            "Do not use this file, or export the model again.",
        )


def _versions(manifest: Manifest) -> str:
    return (
        ", ".join(f"{package} {version}" for package, version in manifest.versions.items()) or "not recorded"
    )
