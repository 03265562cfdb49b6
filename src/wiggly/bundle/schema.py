"""One dataclass, three forms: Python object, JSON, JSON Schema.

In: frozen dataclasses whose fields are annotated with plain types and `Rule`s. Out: `to_json`, `from_json`
(which checks everything the annotations say) and `schema_of` (what the other languages generate their types
from). Read next: `manifest.py`, the dataclasses this serves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["Rule", "SchemaError", "from_json", "schema_of", "to_json"]

T = TypeVar("T")

#: Python type to (JSON Schema name, the word errors use).
SCALARS: dict[Any, tuple[str, str]] = {
    str: ("string", "a string"),
    bool: ("boolean", "true or false"),
    int: ("integer", "an integer"),
    float: ("number", "a number"),
    NoneType: ("null", "null"),
}


class SchemaError(ValueError):
    """A JSON value does not fit its dataclass.

    Args:
        where: Path of the value, `inputs[0].channels`.
        wanted: What should stand there, in a few words.
        found: What stands there.
    """

    def __init__(self, where: str, wanted: str, found: str) -> None:
        super().__init__(f"{where} must be {wanted}, found {found}")
        self.where, self.wanted, self.found = where, wanted, found


@dataclass(frozen=True)
class Rule:
    """What an annotation adds to a type: `Annotated[int, Rule("Number of channels.", minimum=1)]`.

    Args:
        text: Description, for the schema.
        pattern: Regular expression a string must match as a whole.
        minimum: Smallest number allowed.
        items: Smallest and largest number of entries of a list.
    """

    text: str
    pattern: str | None = None
    minimum: float | None = None
    items: tuple[int, int | None] | None = None

    def keywords(self) -> dict[str, Any]:
        """The rule in JSON Schema's words."""
        low, high = self.items or (None, None)
        pattern = None if self.pattern is None else f"^(?:{self.pattern})$"
        found = {
            "description": self.text,
            "pattern": pattern,
            "minimum": self.minimum,
            "minItems": low,
            "maxItems": high,
        }
        return {word: value for word, value in found.items() if value is not None}

    def check(self, value: Any, where: str) -> None:
        """Raise SchemaError where `value` breaks this rule."""
        if self.pattern is not None and isinstance(value, str) and not re.fullmatch(self.pattern, value):
            raise SchemaError(where, f"text of the form {self.pattern}", _short(value))
        if self.minimum is not None and isinstance(value, int | float) and value < self.minimum:
            raise SchemaError(where, f"at least {self.minimum:g}", _short(value))
        if self.items is not None and isinstance(value, tuple):
            count, (low, high) = len(cast("tuple[Any, ...]", value)), self.items
            if count < low or (high is not None and count > high):
                wanted = (
                    f"at least {low}" if high is None else f"{low}" if low == high else f"{low} to {high}"
                )
                raise SchemaError(where, f"a list of {wanted} entries", f"{count} entries")


def to_json(value: Any) -> Any:
    """A dataclass as plain dicts, lists and scalars; tuples become lists.

    Example:
        >>> to_json(Rule("how many", minimum=1))["minimum"]
        1
    """
    if is_dataclass(value) and not isinstance(value, type):
        return to_json(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_json(part) for key, part in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [to_json(part) for part in cast("list[Any]", value)]
    return value


def from_json(kind: type[T], value: object, where: str = "") -> T:
    """Build the dataclass `kind` from parsed JSON, checking every field.

    Args:
        kind: A dataclass, or any annotation its fields may have.
        value: What `json.loads` returned.
        where: Path of the value, for the error.

    Raises:
        SchemaError: A field is missing, unknown, or of another type, range or form.

    Example:
        >>> from_json(Rule, {"text": "how many", "minimum": 1, "items": [1, 2]}).items
        (1, 2)
        >>> from_json(Rule, {"text": 5})
        Traceback (most recent call last):
        ...
        wiggly.bundle.schema.SchemaError: text must be a string, found 5
    """
    return _read(kind, value, where)


def schema_of(kind: type[Any]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a dataclass, nested dataclasses under `$defs`.

    Example:
        >>> schema_of(Rule)["properties"]["text"]
        {'type': 'string'}
    """
    definitions: dict[str, Any] = {}
    _describe(kind, definitions)
    top = definitions.pop(kind.__name__)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _has_default(part: Field[Any]) -> bool:
    return part.default is not MISSING or part.default_factory is not MISSING


# --- reading ------------------------------------------------------------------------------------------------
def _read(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _read_dataclass(cast("type[Any]", kind), value, where)
    if kind is Any:
        return value
    if kind in SCALARS:
        return _read_scalar(kind, value, where)
    return _READERS[get_origin(kind)](get_args(kind), value, where)


def _read_dataclass(kind: type[Any], value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise SchemaError(where or "the top level", "an object", _short(value))
    given, hints = cast("dict[str, Any]", value), get_type_hints(kind, include_extras=True)
    dot = f"{where}." if where else ""
    for name in given.keys() - hints.keys():
        raise SchemaError(f"{dot}{name}", "left out, no such field exists", _short(given[name]))
    for part in fields(kind):
        if part.name not in given and not _has_default(part):
            raise SchemaError(f"{dot}{part.name}", "given", "nothing")
    return kind(**{name: _read(hints[name], part, f"{dot}{name}") for name, part in given.items()})


def _read_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if type(value) is kind and kind is not float:  # exact: in Python a bool is an int, in JSON it is not
        return value
    raise SchemaError(where, SCALARS[kind][1], _short(value))


def _read_annotated(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    result = _read(arguments[0], value, where)
    for rule in arguments[1:]:
        rule.check(result, where)
    return result


def _read_literal(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if not any(type(value) is type(choice) and value == choice for choice in arguments):
        raise SchemaError(where, " or ".join(map(repr, arguments)), _short(value))
    return value


def _read_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    for choice in _of_kind(arguments, value, where):
        try:
            return _read(choice, value, where)
        except SchemaError:
            if is_dataclass(choice) and isinstance(value, dict):
                raise  # the message about the object's own field says more than "an object or null"
    words = [SCALARS[choice][1] if choice in SCALARS else "an object or a list" for choice in arguments]
    raise SchemaError(where, " or ".join(words), _short(value))


def _of_kind(choices: tuple[Any, ...], value: Any, where: str) -> list[Any]:
    """The choices that can be meant: of several dataclasses the one whose field `kind` says what the object's
    says, or the one without such a field."""
    classes = [choice for choice in choices if is_dataclass(choice)]
    if len(classes) < 2 or not isinstance(value, dict):
        return list(choices)
    kinds = [get_args(get_type_hints(choice).get("kind")) or (None,) for choice in classes]
    said: Any = cast("dict[str, Any]", value).get("kind")
    meant = [choice for choice, known in zip(classes, kinds, strict=True) if said in known]
    if not meant:
        names = " or ".join(repr(name) for known in kinds for name in known if name is not None)
        raise SchemaError(f"{where}.kind", names, _short(said))
    return meant


def _read_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list):
        raise SchemaError(where, "a list", _short(value))
    parts = cast("list[Any]", value)
    kinds = [arguments[0]] * len(parts) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(parts):
        raise SchemaError(where, f"a list of {len(kinds)} entries", f"{len(parts)} entries")
    return tuple(
        _read(kind, part, f"{where}[{i}]") for i, (kind, part) in enumerate(zip(kinds, parts, strict=True))
    )


def _read_dict(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise SchemaError(where, "an object", _short(value))
    return {
        key: _read(arguments[1], part, f"{where}[{key!r}]")
        for key, part in cast("dict[str, Any]", value).items()
    }


_READERS: dict[Any, Callable[[tuple[Any, ...], Any, str], Any]] = {
    Annotated: _read_annotated,
    Literal: _read_literal,
    Union: _read_union,
    UnionType: _read_union,
    tuple: _read_tuple,
    dict: _read_dict,
}


# --- describing ---------------------------------------------------------------------------------------------
def _describe(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if is_dataclass(kind):
        return _describe_dataclass(cast("type[Any]", kind), definitions)
    if kind is Any:
        return {}
    if kind in SCALARS:
        return {"type": SCALARS[kind][0]}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        rules = [rule.keywords() for rule in arguments[1:]]
        return {
            **_describe(arguments[0], definitions),
            **{word: part for rule in rules for word, part in rule.items()},
        }
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return _describe_tuple(arguments, definitions)
    if origin is dict:
        return {"type": "object", "additionalProperties": _describe(arguments[1], definitions)}
    return {"anyOf": [_describe(choice, definitions) for choice in arguments]}


def _describe_dataclass(kind: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    definitions[kind.__name__] = {
        "title": kind.__name__,
        "description": (kind.__doc__ or "").strip().split("\n")[0],
        "type": "object",
        "properties": {part.name: _describe(hints[part.name], definitions) for part in fields(kind)},
        "required": [part.name for part in fields(kind) if not _has_default(part)],
        "additionalProperties": False,
    }
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _describe_tuple(arguments: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if arguments[-1] is Ellipsis:
        return {"type": "array", "items": _describe(arguments[0], definitions)}
    parts = [_describe(part, definitions) for part in arguments]
    return {
        "type": "array",
        "prefixItems": parts,
        "items": False,
        "minItems": len(parts),
        "maxItems": len(parts),
    }
