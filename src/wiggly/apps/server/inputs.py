"""From the bytes of a request to items that a predictor takes: a picture's file, or rows.

In: bytes. Out: items, checked: a picture's header is read before anything is decoded, rows are strictly JSON.
Read next: `routes.py`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn, TypeVar

from PIL import Image
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)

from wiggly.apps.server.limits import Limits
from wiggly.apps.server.refusals import Refusal

__all__ = [
    "FORMATS",
    "Cell",
    "RowRequest",
    "RowsRequest",
    "UrlRequest",
    "check_picture",
    "parse",
    "row_items",
]

#: What is tried to open a stranger's file; Pillow knows more, some of which start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO", "AVIF")

Number = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Scalar = StrictBool | StrictInt | Number | StrictStr | None
#: A value, or what JSON cannot say by itself, by name: `{"date": "2024-02-29T00:00:00"}`.
Cell = Scalar | dict[str, Scalar | list[Scalar]]
Row = dict[str, Cell]

Model = TypeVar("Model", bound=BaseModel)


class RowRequest(BaseModel):
    """One row of a table: a value for each column; those that are left out are missing."""

    model_config = ConfigDict(strict=True, extra="forbid")
    row: Row = Field(min_length=1, description="Column to value; null where it is not known.")


class RowsRequest(BaseModel):
    """Several rows of a table."""

    model_config = ConfigDict(strict=True, extra="forbid")
    rows: list[Row] = Field(min_length=1, description="Rows, each column to value.")


class UrlRequest(BaseModel):
    """A picture somewhere else; only where the server allows it."""

    model_config = ConfigDict(strict=True, extra="forbid")
    url: str = Field(min_length=1, max_length=2048, description="http or https.")


def parse(body: bytes, kinds: Mapping[str, type[Model]]) -> Model:
    """A JSON body as one of several models, told apart by the field they have.

    Args:
        body: UTF-8.
        kinds: Field to model.

    Raises:
        Refusal: It is no JSON, or does not fit.
    """
    content = _load(body)
    fields = " or ".join(f"`{name}`" for name in kinds)
    rule = f"the body must be a JSON object with {fields}"
    fix = 'Send e.g. {"row": {"age": 31}}; GET /v1/model lists what this model takes.'
    if not isinstance(content, dict):
        raise Refusal("malformed", rule, f"it is a {type(content).__name__}", fix)
    kind = next((model for name, model in kinds.items() if name in content), None)
    if kind is None:
        raise Refusal("malformed", rule, f"it has {', '.join(map(repr, content))[:100] or 'nothing'}", fix)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part)[:60] for part in first["loc"])
        raise Refusal("malformed", rule, f"{place}: {first['msg']}"[:300], fix) from None


def row_items(rows: list[Row], limits: Limits) -> list[bytes]:
    """Rows as a predictor takes them.

    Raises:
        Refusal: There are too many, or too much in them.
    """
    if len(rows) > limits.max_rows:
        raise _too_much(
            f"at most {limits.max_rows:,} rows", f"{len(rows):,} rows came", "Send fewer at once."
        )
    for row in rows:
        if len(row) > limits.max_columns:
            received = f"a row has {len(row):,}"
            raise _too_much(
                f"rows of at most {limits.max_columns:,} columns", received, "Send those it needs."
            )
        longest = max((len(text) for text in _texts(row)), default=0)
        if longest > limits.max_text:
            received = f"one has {longest:,}"
            raise _too_much(f"texts of at most {limits.max_text:,} characters", received, "Shorten it.")
    return [json.dumps(row, allow_nan=False).encode() for row in rows]


def check_picture(content: bytes, limits: Limits, fixed_size: bool) -> None:
    """Refuses what is no picture, and one of too many pixels, by its header alone.

    Args:
        content: Of the file.
        limits: Of the server.
        fixed_size: Whether the model makes every picture small before it looks.

    Raises:
        Refusal: It is such a one.
    """
    most = limits.max_pixels if fixed_size else min(limits.max_pixels, limits.max_free_pixels)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            width, height = picture.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(most, "it has far more") from None
    except Exception:  # Pillow's readers raise all kinds on damaged bytes
        raise Refusal(
            "unreadable",
            "the file must be a picture that can be read",
            "the file is empty" if not content else "it is not an image (no known format), or damaged",
            "Send a JPEG, PNG or WebP file that a viewer can open.",
        ) from None
    if width * height > most:
        raise _too_many_pixels(most, f"it has {width:,}×{height:,}")


def _texts(row: Row) -> list[str]:
    texts = list(row)
    for cell in row.values():
        if isinstance(cell, str):
            texts.append(cell)
        elif isinstance(cell, dict):
            texts.extend(json.dumps(part) for part in cell.values())
    return texts


def _load(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        fix = 'Send e.g. {"row": {"age": 31}}.'
        raise Refusal("malformed", "the body must be JSON in UTF-8", str(error)[:200], fix) from None


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _too_much(wanted: str, received: str, fix: str) -> Refusal:
    return Refusal("too_large", f"a request must have {wanted}", received, fix)


def _too_many_pixels(most: int, received: str) -> Refusal:
    rule = f"a picture must have at most {most:,} pixels"
    return Refusal("too_many_pixels", rule, received, "Send a smaller copy of it.")
