"""The OpenAPI description of a server, as clients are generated from it; committed in `openapi.json`.

In: the routes. Out: one document, the same for every model: what is answered comes from the classes of
`wiggly/bundle/replies.py` and of the manifest, what is asked from those of `inputs.py`.
`python -m wiggly.apps.server.openapi` writes it again; a test notices when it is stale. Read next:
`routes.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from wiggly.apps.server.body import FIELD, LABEL
from wiggly.apps.server.inputs import RowRequest, RowsRequest, UrlRequest
from wiggly.apps.server.limits import Limits
from wiggly.apps.server.refusals import CODES, GONE
from wiggly.apps.server.routes import PUBLIC
from wiggly.bundle.manifest import manifest_schema
from wiggly.bundle.replies import replies_schema

__all__ = ["COMMITTED", "describe", "text_of"]

COMMITTED = Path(__file__).with_name("openapi.json")
API_VERSION = "1"
REF = "#/components/schemas/"

#: Which codes each address may answer with: a correction, then whatever is sent.
CORRECTED = ("other_site", "not_found", "too_often", "full")
ASKED = ("malformed", "slow_upload", "too_large", "unsupported_type", "unreadable", "busy", "timeout")

INTRODUCTION = "One model. Errors say which rule was broken, what came, and what to do."


def describe(app: FastAPI) -> dict[str, Any]:
    """The document.

    Args:
        app: Whose routes are described; of the model behind it nothing shows.
    """
    document = get_openapi(title="wiggly", version=API_VERSION, description=INTRODUCTION, routes=app.routes)
    paths = cast("dict[str, Any]", document["paths"])
    _post(paths["/v1/predict"]["post"], "Reply", _item_body())
    _post(paths["/v1/predict/batch"]["post"], "Replies", {"application/json": _ref("RowsRequest")})
    _post(paths["/v1/correction"]["post"], "Correction", _correction_body())
    paths["/v1/correction"]["post"]["responses"].update(_errors(*CORRECTED))
    _get(paths["/v1/model"]["get"], {"application/json": _ref("Model")})
    _get(paths["/v1/examples/{i}"]["get"], {"image/*": _binary(), "application/json": {}}, "not_found")
    _get(paths["/healthz"]["get"], {"application/json": _ref("Health")})
    _get(paths["/readyz"]["get"], {"application/json": _ref("Ready")})
    paths["/readyz"]["get"]["responses"]["503"] = _response("Not ready.", {"application/json": _ref("Ready")})
    _get(paths["/metrics"]["get"], {"text/plain": {"type": "string"}})
    document["components"] = {"schemas": _reached(paths, _schemas())}
    return document


def text_of(document: dict[str, Any]) -> str:
    """The document as it is committed."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _post(operation: dict[str, Any], reply: str, content: dict[str, Any]) -> None:
    operation["requestBody"] = {
        "required": True,
        "content": {kind: {"schema": schema} for kind, schema in content.items()},
    }
    operation["responses"] = {
        "200": _response("What the model says.", {"application/json": _ref(reply)}),
        **_errors(*ASKED),
    }


def _get(operation: dict[str, Any], content: dict[str, Any], *codes: str) -> None:
    operation["responses"] = {"200": _response("As asked.", content), **_errors(*codes)}
    if codes:
        operation["responses"].update(_errors("unreadable"))


def _errors(*codes: str) -> dict[str, Any]:
    statuses: dict[int, list[str]] = {}
    for code in codes:
        status = CODES[code]
        statuses[status] = [name for name, other in CODES.items() if other == status]
    return {
        str(status): _response(f"Refused: {', '.join(names)}.", {"application/json": _ref("Error")})
        for status, names in statuses.items()
    }


def _response(told: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"description": told, "content": {kind: {"schema": schema} for kind, schema in content.items()}}


def _item_body() -> dict[str, Any]:
    form = {
        "type": "object",
        "title": "FileRequest",
        "required": [FIELD],
        "additionalProperties": False,
        "properties": {FIELD: {**_binary(), "description": "A picture's file."}},
    }
    return {
        "multipart/form-data": form,
        "application/json": {"oneOf": [_ref("RowRequest"), _ref("UrlRequest")]},
    }


def _correction_body() -> dict[str, Any]:
    label = {"type": "string", "description": "One of the model's classes."}
    properties = {FIELD: {**_binary(), "description": "A picture's file."}, LABEL: label}
    return {"multipart/form-data": {**_object(properties), "title": "CorrectionRequest"}}


# ---- components ----


def _schemas() -> dict[str, Any]:
    _, asked = models_json_schema(
        [(model, "validation") for model in (RowRequest, RowsRequest, UrlRequest)],
        ref_template=REF + "{model}",
    )
    replies = replies_schema()
    manifest = manifest_schema()
    return {
        **_moved(asked["$defs"]),
        **_moved(manifest["$defs"]),
        **_moved(replies["$defs"]),
        "Replies": _moved({key: part for key, part in replies.items() if not key.startswith("$")}),
        "Model": _moved(_model(manifest["properties"])),
        "Correction": _correction(),
        "Limits": _limits(),
        "Error": _error(),
        "Health": _object({"status": {"const": "ok", "type": "string"}}),
        "Ready": _ready(),
    }


def _model(properties: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string"}
    example = _object({"address": text, "media_type": text})
    return _object(
        {
            "model": {**text, "description": "SHA-256 of its model.json.", "pattern": "^[0-9a-f]{64}$"},
            "runtime": {**text, "description": "What runs it."},
            **{name: properties[name] for name in PUBLIC},
            "urls": {"type": "boolean", "description": "Whether `url` may be sent instead of a file."},
            "corrections": {"type": "boolean", "description": "Whether /v1/correction takes any."},
            "limits": _ref("Limits"),
            "examples": {"type": "array", "items": example, "description": "Worked examples' files."},
        }
    )


def _correction() -> dict[str, Any]:
    text = {"type": "string"}
    return _object(
        {
            "item": {**text, "description": "SHA-256 of the file.", "pattern": "^[0-9a-f]{64}$"},
            "predicted": {**text, "description": "What the model says."},
            "label": {**text, "description": "What was sent."},
            "new": {"type": "boolean", "description": "False where it was known, or is decided already."},
        }
    )


def _limits() -> dict[str, Any]:
    kinds = {"int": "integer", "float": "number"}
    fields = Limits.__dataclass_fields__
    return _object({name: {"type": kinds[str(field.type)]} for name, field in fields.items()})


def _error() -> dict[str, Any]:
    text = {"type": "string"}
    codes = [code for code, status in CODES.items() if status != GONE]
    parts = {
        "code": {"type": "string", "enum": codes},
        "rule": {**text, "description": "What has to hold."},
        "received": {**text, "description": "What came instead."},
        "fix": {**text, "description": "What to do."},
    }
    return _object({"error": _object(parts)})


def _ready() -> dict[str, Any]:
    return _object(
        {
            "status": {"type": "string", "enum": ["starting", "ready", "failed"]},
            "examples": {"type": "integer", "description": "Worked examples that were run."},
            "difference": {"type": "number", "description": "The largest from what was recorded."},
            "reason": {"type": "string", "description": "Why it failed."},
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _binary() -> dict[str, Any]:
    return {"type": "string", "format": "binary"}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": REF + name}


def _reached(paths: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schemas that the paths refer to, and those that these refer to."""
    found: dict[str, Any] = {}
    waiting = [paths]
    while waiting:
        for name in re.findall(f'"{REF}(\\w+)"', json.dumps(waiting.pop())):
            if name not in found:
                found[name] = schemas[name]
                waiting.append(schemas[name])
    return dict(sorted(found.items()))


def _moved(schema: Any) -> Any:
    """A schema with its references where OpenAPI keeps them."""
    if isinstance(schema, dict):
        found = cast("dict[str, Any]", schema)
        return {
            key: part.replace("#/$defs/", REF) if key == "$ref" else _moved(part)
            for key, part in found.items()
        }
    return [_moved(part) for part in cast("list[Any]", schema)] if isinstance(schema, list) else schema


if __name__ == "__main__":
    from wiggly.apps.server.app import empty_app

    COMMITTED.write_text(text_of(describe(empty_app())), encoding="utf-8")
