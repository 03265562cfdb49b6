"""The description of the interface is the committed one, and holds for requests nobody thought of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance
from tests.apps.server.conftest import get, post, served

from wiggly.apps.server.app import empty_app
from wiggly.apps.server.openapi import COMMITTED, describe, text_of
from wiggly.bundle.predictor import Predictor

CHECKS = [not_a_server_error, response_schema_conformance]
FEW = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


def test_the_committed_description_is_that_of_the_code() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == text_of(describe(empty_app())), (
        "run `python -m wiggly.apps.server.openapi`, and look at what changed for those who use it"
    )


def test_it_is_the_one_that_is_served(digits: Predictor) -> None:
    served_one = get(served(digits), "/openapi.json").json()
    assert served_one == json.loads(COMMITTED.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("path", "name"), [("/v1/model", "Model"), ("/readyz", "Ready"), ("/healthz", "Health")]
)
@pytest.mark.parametrize("kind", ["digits", "people"])
def test_what_is_answered_is_as_described(
    path: str, name: str, kind: str, runtime: str, request: pytest.FixtureRequest
) -> None:
    check(get(served(request.getfixturevalue(kind)), path).json(), name)


def test_replies_and_errors_are_as_described(
    digits: Predictor, people: Predictor, photos: list[Path]
) -> None:
    check(post(served(digits), files={"file": photos[0].read_bytes()}).json(), "Reply")
    row = {"age": 30, "city": "Rome", "since": "2023-01-01", "member": True}
    check(post(served(people), "/v1/predict/batch", json={"rows": [row]}).json(), "Replies")
    check(post(served(people), json={"row": row, "more": 1}).json(), "Error")
    check(get(served(people), "/nothing").json(), "Error")


def check(content: Any, name: str) -> None:
    document = json.loads(COMMITTED.read_text(encoding="utf-8"))
    jsonschema.validate(content, {**document, "$ref": f"#/components/schemas/{name}"})


def fuzz(app: Any, examples: int) -> dict[str, int]:
    """Sends what schemathesis makes of the description; how many answers there were of each status."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    statuses: dict[str, int] = {}
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=examples, **FEW)
        def hold(case: Any) -> None:
            response = case.call()
            case.validate_response(response, checks=CHECKS)
            key = f"{case.operation.path} {response.status_code}"
            statuses[key] = statuses.get(key, 0) + 1

        modes = list(schemathesis.GenerationMode)
        strategies = [operation.as_strategy(generation_mode=mode) for mode in modes]
        given_one_of(hold, strategies)()
    return statuses


def given_one_of(test: Any, strategies: list[Any]) -> Any:
    from hypothesis import given

    return given(case=st.one_of(strategies))(test)


@pytest.mark.parametrize("kind", ["digits", "people"])
def test_no_request_makes_it_fail(kind: str, runtime: str, request: pytest.FixtureRequest) -> None:
    statuses = fuzz(served(request.getfixturevalue(kind)), examples=8)
    assert not [key for key in statuses if key.endswith(" 500")]
    assert any(key.startswith("/v1/predict 4") for key in statuses)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["digits", "people"])
def test_nor_do_many(kind: str, runtime: str, request: pytest.FixtureRequest) -> None:
    statuses = fuzz(served(request.getfixturevalue(kind)), examples=100)
    assert not [key for key in statuses if key.endswith(" 500")]
