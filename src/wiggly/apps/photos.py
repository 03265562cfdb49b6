"""The page for pictures: drop a photo, or take one, and read, or see, what the model says.

In: a predictor of pictures. Out: Gradio components: a label with bars, numbers, or the photo with boxes,
masks or points on it. Read next: `page.py`, which serves it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html import escape
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from wiggly.apps.model import PageModel
from wiggly.apps.words import alert, foot, head, names_of, numbers_html, unsure_line
from wiggly.errors import ItemError, WigglyError
from wiggly.records import Prediction
from wiggly.vision.drawing import class_colours

__all__ = ["photo_page"]

TOP = 5  # label bars
Answering = Callable[[Prediction, "str | bytes"], Any]


def photo_page(predictor: PageModel, gradio: ModuleType) -> None:
    """Fills the page that is being built."""
    kind = predictor.manifest.outputs[0].kind
    gradio.HTML(head(predictor, "photos"), elem_id="head", padding=False)
    with gradio.Row():
        with gradio.Column():
            photo = gradio.Image(
                label="Photo",
                sources=["upload", "webcam", "clipboard"],
                image_mode=None,
                format="png",  # of the examples: without loss, so that they come out exactly as recorded
                height=380,
                elem_id="photo",
                buttons=["fullscreen"],
            )
        with gradio.Column():
            notice = gradio.HTML(visible=False, elem_id="notice", padding=False)
            answer, show = SHOWN[kind](predictor, gradio)
    # Without `preprocess` the uploaded file itself arrives: the model's own reader turns, converts and
    # scales it.
    answering = _answer_function(predictor, gradio, show)
    photo.change(
        answering, photo, [answer, notice], preprocess=False, api_name="predict", show_progress="minimal"
    )
    if predictor.examples:
        # upright: how a photo lies is lost on the way to the page
        opened = (Image.open(io.BytesIO(example.content)) for example in predictor.examples)
        pictures = [[ImageOps.exif_transpose(picture)] for picture in opened]
        gradio.Examples(pictures, photo, label="Photos it had not trained on", cache_examples=False)
    whatever = " and answers with one of them whatever the photo shows" if kind == "category" else ""
    privacy = "Photos stay on the machine that serves this page and are deleted after an hour."
    gradio.HTML(foot(predictor, whatever, privacy), elem_id="foot", padding=False)


def _answer_function(
    predictor: PageModel, gradio: ModuleType, show: Answering
) -> Callable[[dict[str, Any] | None], tuple[Any, Any]]:
    def predict(photo: dict[str, Any] | None) -> tuple[Any, Any]:
        """What the model says, and a notice when the file cannot be used."""
        if photo is None:
            return None, gradio.HTML(visible=False)
        source = _source(photo)
        try:
            found = predictor.predict(source)
            said = show(found, source)
        except WigglyError as error:
            return None, gradio.HTML(alert(_complaint(error, photo)), visible=True)
        doubt = unsure_line(predictor.manifest.outputs, found)
        return said, gradio.HTML(alert(escape(doubt)), visible=True) if doubt else gradio.HTML(visible=False)

    return predict


def _source(photo: dict[str, Any]) -> str | bytes:
    """The uploaded file as it is. Gradio has checked that the path lies in its upload folder."""
    url = photo.get("url") or ""
    if url.startswith("data:"):
        return base64.b64decode(url.partition(",")[2])
    return str(photo["path"])


def _complaint(error: WigglyError, photo: dict[str, Any]) -> str:
    """What a visitor should know; Gradio shows it as HTML."""
    name = photo.get("orig_name") or "This"
    reason = (
        error.reason if isinstance(error, ItemError) else error.received
    )  # without the path on this machine
    return escape(
        f"{name} cannot be read as a photo: {reason}. Try another one; JPEG, PNG and WebP files work."
    )


def _upright(source: str | bytes) -> Image.Image:
    """The photo as viewers show it: places and masks are in its pixels."""
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as photo:
        return ImageOps.exif_transpose(photo).convert("RGB")


# ---- what is shown, for each kind of output: a component, and how a prediction becomes its value ----


def _bars(predictor: PageModel, gradio: ModuleType) -> tuple[Any, Answering]:
    names = names_of(predictor.vocab)
    answer = gradio.Label(label="The model says", num_top_classes=TOP, elem_id="answer")
    return answer, lambda found, _: dict(zip(names, found.probs.tolist(), strict=True))


def _numbers(predictor: PageModel, gradio: ModuleType) -> tuple[Any, Answering]:
    output: Any = predictor.manifest.outputs[0]
    answer = gradio.HTML(label="The model says", show_label=True, elem_id="answer", container=True)

    def show(found: Prediction, _: str | bytes) -> str:
        return numbers_html(output.names, found.probs.flatten().tolist(), output.low, output.high)

    return answer, show


def _boxes(predictor: PageModel, gradio: ModuleType) -> tuple[Any, Answering]:
    answer = gradio.AnnotatedImage(label="The model says", elem_id="answer", show_legend=True)

    def show(found: Prediction, source: str | bytes) -> Any:
        photo = _upright(source)
        boxes = [
            (tuple(round(side) for side in box.box), f"{box.label} {box.score:.0%}") for box in found.decoded
        ]
        return photo, boxes

    return answer, show


def _mask(predictor: PageModel, gradio: ModuleType) -> tuple[Any, Answering]:
    names, output = names_of(predictor.vocab), predictor.manifest.outputs[0]
    void = getattr(output, "void", None)
    # A class has the same colour in every photo.
    answer = gradio.AnnotatedImage(
        label="The model says", elem_id="answer", show_legend=True, color_map=_colours(names)
    )

    def show(found: Prediction, source: str | bytes) -> Any:
        photo, indices = _upright(source), np.asarray(found.decoded)
        counts = np.bincount(indices.ravel(), minlength=len(names))
        shown = [int(k) for k in counts.argsort()[::-1] if counts[k] and k != void and k < len(names)]
        return photo, [((indices == k).astype(np.float32), names[k]) for k in shown]

    return answer, show


def _colours(names: list[str]) -> dict[str, str]:
    colours = zip(names, class_colours(len(names)), strict=True)
    return {name: "#" + "".join(f"{round(255 * part):02x}" for part in colour) for name, colour in colours}


def _points(predictor: PageModel, gradio: ModuleType) -> tuple[Any, Answering]:
    answer = gradio.Image(label="The model says", elem_id="answer", format="png", interactive=False)

    def show(found: Prediction, source: str | bytes) -> Any:
        photo = _upright(source)
        draw, radius = ImageDraw.Draw(photo), max(2, round(max(photo.size) / 120))
        for x, y in found.decoded:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="#ff3d00", outline="white")
        return photo

    return answer, show


SHOWN: dict[str, Callable[[PageModel, ModuleType], tuple[Any, Answering]]] = {
    "category": _bars,
    "labels": _bars,
    "numbers": _numbers,
    "points": _points,
    "boxes": _boxes,
    "mask": _mask,
}
