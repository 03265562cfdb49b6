"""Dataclass, JSON and JSON Schema say the same; checked against the jsonschema package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiggly.bundle.schema import Rule, SchemaError, from_json, schema_of, to_json


@dataclass(frozen=True)
class Leg:
    """A leg."""

    length: Annotated[float, Rule("In cm.", minimum=0)]
    side: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class Animal:
    """An animal. Not shown in the schema: only the first line is.

    More.
    """

    name: Annotated[str, Rule("Its name.", pattern="[a-z]+")]
    legs: Annotated[tuple[Leg, ...], Rule("Its legs.", items=(1, 4))]
    box: tuple[int, int] | None = None
    label: str | int | float | bool = ""
    extra: dict[str, Any] | None = None


GOOD: dict[str, Any] = {"name": "ant", "legs": [{"length": 2}]}


def test_reads_into_exact_types() -> None:
    animal = from_json(Animal, {**GOOD, "box": [3, 4], "label": True, "extra": {"a": [1, None]}})
    assert animal == Animal("ant", (Leg(2.0),), (3, 4), True, {"a": [1, None]})
    assert type(animal.legs[0].length) is float
    assert animal.label is True
    assert from_json(Animal, {**GOOD, "label": 1}).label is not True


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": 5}, "name"),
        ({"name": "Ant"}, "name"),
        ({"legs": []}, "legs"),
        ({"legs": [{"length": 1}] * 5}, "legs"),
        ({"legs": [{"length": -1}]}, "legs[0].length"),
        ({"legs": [{"length": True}]}, "legs[0].length"),
        ({"legs": [{"length": 1}, {"length": 1, "side": "up"}]}, "legs[1].side"),
        ({"legs": [{}]}, "legs[0].length"),
        ({"legs": {"length": 1}}, "legs"),
        ({"legs": ["long"]}, "legs[0]"),
        ({"box": [1]}, "box"),
        ({"box": [1, 2, 3]}, "box"),
        ({"box": [1, 2.5]}, "box"),
        ({"label": None}, "label"),
        ({"label": [1]}, "label"),
        ({"extra": 3}, "extra"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_refuses_what_the_json_schema_refuses(change: dict[str, Any], where: str) -> None:
    value = {**GOOD, **change}
    with pytest.raises(SchemaError) as caught:
        from_json(Animal, value)
    assert caught.value.where.startswith(where)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema_of(Animal))


def test_missing_field_is_named() -> None:
    with pytest.raises(SchemaError, match="name must be given"):
        from_json(Animal, {"legs": [{"length": 1}]})


def test_not_finite_is_refused() -> None:
    with pytest.raises(SchemaError, match="length"):
        from_json(Leg, {"length": float("inf")})


def test_schema_is_valid_and_describes() -> None:
    schema = schema_of(Animal)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["description"] == "An animal. Not shown in the schema: only the first line is."
    assert schema["required"] == ["name", "legs"]
    assert schema["$defs"]["Leg"]["properties"]["length"]["minimum"] == 0


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.builds(
        Animal,
        name=st.from_regex("[a-z]+", fullmatch=True),
        legs=st.lists(
            st.builds(Leg, length=st.floats(0, 1e9), side=st.sampled_from(["left", "right"])),
            min_size=1,
            max_size=4,
        ).map(tuple),
        box=st.none() | st.tuples(st.integers(), st.integers()),
        label=st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_round_trip_and_schema_accept_anything_valid(animal: Animal) -> None:
    text = json.dumps(to_json(animal))
    value = json.loads(text)
    jsonschema.validate(value, schema_of(Animal))
    again = from_json(Animal, value)
    assert again == animal
    assert type(again.label) is type(animal.label)
