"""Served models without a network: a client that speaks to the application in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from fastapi import FastAPI

import wiggly as wg
from wiggly.apps.server.app import make_server
from wiggly.apps.server.limits import Limits
from wiggly.apps.server.start import open_predictor

ADDRESS = "http://served"


@pytest.fixture(scope="session", params=["torch", "onnx"])
def runtime(request: pytest.FixtureRequest) -> str:
    """What runs the model."""
    return request.param


@pytest.fixture(scope="session")
def digits(bundle: Path, runtime: str) -> Any:
    """The predictor of pictures."""
    return open_predictor(bundle, runtime)[0]


@pytest.fixture(scope="session")
def people_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a model of rows, with a column of every kind that JSON has no word for."""
    people = pd.DataFrame({"age": range(20, 80), "city": ["Rome", "Oslo", "Bern"] * 20})
    people["since"] = pd.Timestamp("2024-02-29") - pd.to_timedelta(people["age"] * 7 % 400, unit="D")
    people["member"] = people["age"] % 2 == 0
    people["income"] = ["high" if age > 50 else "low" for age in people["age"]]
    dls = wg.TabularDataLoaders.from_df(people, y_names="income", bs=8, seed=42)
    learn = wg.tabular_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(3, 1e-2)
    return learn.export(tmp_path_factory.mktemp("people") / "people.wiggly")


@pytest.fixture(scope="session")
def people(people_bundle: Path, runtime: str) -> Any:
    """The predictor of rows."""
    return open_predictor(people_bundle, runtime)[0]


@pytest.fixture(scope="session")
def photos(digits_folder: Path) -> list[Path]:
    """Pictures of the digits."""
    return sorted(digits_folder.rglob("*.png"))


def served(predictor: Any, **options: Any) -> FastAPI:
    """An application whose model counts as proved; a keyword that is a limit becomes one."""
    names = Limits.__dataclass_fields__
    limits = Limits(**{name: value for name, value in options.items() if name in names})
    others = {name: value for name, value in options.items() if name not in names}
    return make_server(predictor, limits=limits, **{"checked": 0.0, **others})


Asking = Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]


def ask(app: FastAPI, asking: Asking) -> Any:
    """What `asking` returns, given a client of the application."""

    async def run() -> Any:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS, timeout=60) as client:
            return await asking(client)

    return asyncio.run(run())


def post(app: FastAPI, path: str = "/v1/predict", **request: Any) -> httpx.Response:
    """One request and its response."""
    return ask(app, lambda client: client.post(path, **request))


def get(app: FastAPI, path: str, **request: Any) -> httpx.Response:
    """One request and its response."""
    return ask(app, lambda client: client.get(path, **request))


def refused(response: httpx.Response, status: int, code: str) -> dict[str, str]:
    """The error of a response, which must be of this kind and whole."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"code", "rule", "received", "fix"}
    assert error["code"] == code
    assert all(error.values())
    return error
