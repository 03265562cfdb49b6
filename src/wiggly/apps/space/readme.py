"""The README of a Space: the block of settings that Hugging Face reads, and how to ask the model.

In: a manifest. Out: the text. Read next: `folder.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wiggly.bundle.manifest import Manifest

__all__ = ["readme"]

LONGEST_TEXT = 60  # of `short_description` (huggingface.co/docs/hub/spaces-config-reference)

#: What Hugging Face calls terms (huggingface.co/docs/hub/repositories-licenses); others are "other".
LICENCES = {
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "bsl-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
    "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc0-1.0", "ecl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2", "gpl-2.0",
    "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0", "lppl-1.3c", "mit", "mpl-2.0", "ms-pl", "ncsa",
    "odbl", "odc-by", "ofl-1.1", "openrail", "osl-3.0", "pddl", "postgresql", "unlicense", "wtfpl",
    "zlib",
}  # fmt: skip

EMOJI = {"image": "📷", "table": "📋", "pairs": "⭐"}
ITEMS = {"image": "a picture", "table": "a row of a table", "pairs": "a user and an item"}
SAYS = {
    "classification": "names its class",
    "multilabel": "names what is in it",
    "regression": "predicts numbers",
    "recommendation": "predicts the rating",
    "keypoints": "finds points in it",
    "detection": "finds things in it",
    "segmentation": "says what each pixel shows",
    "several": "predicts several things",
}

CURL = {
    "image": "curl -F file=@photo.jpg https://USER-NAME.hf.space/v1/predict",
    "table": "curl --json '{\"row\": {…}}' https://USER-NAME.hf.space/v1/predict",
}


def readme(manifest: Manifest, sdk: Mapping[str, str]) -> str:
    """The text of `README.md`.

    Args:
        manifest: Of the model.
        sdk: What the Space is run by, as Hugging Face calls it.

    Returns:
        Settings between three dashes, and a few paragraphs. The values are JSON, which is YAML too.
    """
    kind = manifest.inputs[0].kind
    does = f"Takes {ITEMS[kind]} and {SAYS[manifest.task]}."
    settings: dict[str, Any] = {
        "title": manifest.title,
        "emoji": EMOJI[kind],
        "colorFrom": "blue",
        "colorTo": "green",
        **sdk,
        "pinned": False,
        "short_description": does[:LONGEST_TEXT],
        "models": _models(manifest),
        "tags": ["wiggly", "onnx"],
    }
    if manifest.licence:
        known = manifest.licence.lower() in LICENCES
        settings["license"] = manifest.licence.lower() if known else "other"
    block = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items())
    described = [manifest.description] if manifest.description else []
    terms = f"Terms of use of the model: {manifest.licence or 'not stated'}."
    how = _static() if sdk["sdk"] == "static" else _served(kind)
    body = [f"# {_one_line(manifest.title)}", *described, does, how, f"{terms} Made with wiggly."]
    return f"---\n{block}---\n\n" + "\n\n".join(body) + "\n"


def _models(manifest: Manifest) -> list[str]:
    """The model on the hub that this one started from: one of timm's that names its weights."""
    arch = str(manifest.model.get("body", {}).get("arch", ""))
    return [f"timm/{arch}"] if "." in arch else []


def _static() -> str:
    return "There is no server: the model runs in the visitor's browser, and what is given to it stays there."


def _served(kind: str) -> str:
    curl = CURL.get(kind, CURL["table"])
    return (
        "The page is at `/`. Programs ask `/v1/predict`, which `/openapi.json` describes; `/v1/model` says "
        f"what the model is:\n\n```bash\n{curl}\n```\n\n"
        "`requirements.txt` names every version exactly; the model runs on ONNX Runtime, and proves itself "
        "by its worked examples whenever the Space starts. Elsewhere it runs, too: "
        "`pip install -r requirements.txt && python app.py`."
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
