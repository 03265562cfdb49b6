"""Three small models, really trained: photos of pets, people of a census, streets seen from a car."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

import wiggly as wg
from wiggly.bundle.export import export_bundle
from wiggly.bundle.predictor import load_bundle
from wiggly.bundle.replies import reply_of
from wiggly.bundle.schema import to_json

ARCH = "tf_efficientnet_lite0"
WEIGHTS = "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
BREEDS = ("Abyssinian", "Bengal", "beagle", "pug", "saint_bernard", "Siamese")

#: Of the pixels of a mask so many must have the same class: each runtime rounds in its own way.
SAME_PIXELS = 0.999


@dataclass(frozen=True)
class Trained:
    """A model, its bundle, items it has not seen, and what the bundle says of them in PyTorch.

    Attributes:
        items: Files of photos, or rows.
        replies: As JSON types.
    """

    name: str
    learn: Any
    bundle: Path
    items: list[Any]
    replies: list[dict[str, Any]]

    @property
    def takes_pictures(self) -> bool:
        return isinstance(self.items[0], Path)

    def apart(self, found: list[dict[str, Any]]) -> float:
        """The largest difference of replies from those of PyTorch; the labels must be the same.

        Returns:
            Of probabilities; of masks the share of pixels with another class.
        """
        assert len(found) == len(self.replies)
        return max(difference(a, b) for a, b in zip(found, self.replies, strict=True))


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    assert found["model"] == wanted["model"], "another model answered"
    [one], [other] = found["answers"], wanted["answers"]
    assert one["kind"] == other["kind"]
    if one["kind"] == "mask":
        return float((mask_of(one) != mask_of(other)).mean())
    assert (one["label"], one["unsure"]) == (other["label"], other["unsure"])
    said = {chance["label"]: chance["probability"] for chance in one["probabilities"]}
    return max(abs(said[each["label"]] - each["probability"]) for each in other["probabilities"])


def mask_of(answer: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """The classes of the pixels."""
    picture = Image.open(io.BytesIO(base64.b64decode(answer["png"])))
    assert picture.size == (answer["width"], answer["height"])
    return np.asarray(picture)


def breed(file: Path) -> str:
    return re.sub(r"_\d+$", "", file.stem)


def pets(shared: Path, folder: Path) -> tuple[Any, list[Any]]:
    """Six breeds, 16 photos of each to learn and measure, 3 more to ask about."""
    files = {name: sorted((shared / "data" / "pets" / "images").glob(f"{name}_*.jpg")) for name in BREEDS}
    block = wg.DataBlock(
        blocks=(wg.ImageBlock, wg.CategoryBlock),
        splitter=wg.RandomSplitter(0.3, 1),
        get_y=breed,
        item_tfms=wg.Resize(128),
    )
    dls = block.dataloaders([file for group in files.values() for file in group[:16]], bs=16, num_workers=0)
    learn = wg.vision_learner(dls, ARCH, weights=shared / "weights" / WEIGHTS)
    learn.fit_one_cycle(3, 5e-3)
    return learn, [file for group in files.values() for file in group[16:19]]


def people(shared: Path, folder: Path) -> tuple[Any, list[Any]]:
    """2,000 people to learn from, 20 more to ask about, with what is missing of them."""
    table = pd.read_csv(shared / "data" / "tabular" / "adult.csv", nrows=2_020)
    dls = wg.TabularDataLoaders.from_df(table[:2_000], y_names="salary", bs=64, seed=1)
    learn = wg.tabular_learner(dls)
    learn.fit_one_cycle(3, 1e-2)
    rows = table[2_000:].drop(columns="salary").astype(object)
    return learn, rows.where(rows.notna(), None).to_dict("records")


def streets(shared: Path, folder: Path) -> tuple[Any, list[Any]]:
    """16 photos to learn and measure, 3 more to ask about."""
    data = shared / "data" / "camvid"
    files = sorted((data / "images").iterdir())
    block = wg.DataBlock(
        blocks=(wg.ImageBlock, wg.MaskBlock((data / "codes.txt").read_text().split(), void="Void")),
        splitter=wg.RandomSplitter(0.25, 1),
        get_y=lambda file: data / "labels" / f"{file.stem}_P.png",
        item_tfms=wg.Resize((96, 128)),
    )
    learn = wg.unet_learner(
        block.dataloaders(files[:16], bs=4, num_workers=0), ARCH, weights=shared / "weights" / WEIGHTS
    )
    learn.fit_one_cycle(5, 3e-3)
    return learn, files[16:19]


MAKERS: dict[str, Callable[[Path, Path], tuple[Any, list[Any]]]] = {
    "pets": pets,
    "people": people,
    "streets": streets,
}
TITLES = {
    "pets": "Six breeds of pets",
    "people": "Income over 50,000 dollars",
    "streets": "What is in the street",
}


def train(name: str, shared: Path, folder: Path) -> Trained:
    """One of `MAKERS`, trained and exported."""
    torch.manual_seed(0)
    learn, items = MAKERS[name](shared, folder)
    bundle = export_bundle(learn, folder / f"{name}.wiggly", title=TITLES[name])
    predictor = load_bundle(bundle)
    replies = [to_json(reply_of(predictor, predictor.predict(item))) for item in items]
    return Trained(name, learn, bundle, items, replies)
