"""Every error says the rule, what was received and what to do, and is the built-in that readers expect."""

from __future__ import annotations

import inspect
import pickle

import pytest

from wiggly import errors
from wiggly.errors import ArgumentError, ItemError, WigglyError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, WigglyError)]
BUILT_IN = {
    "ArgumentError": ValueError,
    "BadItemsError": ValueError,
    "BundleError": ValueError,
    "DataError": ValueError,
    "DependencyError": ImportError,
    "DivergedError": RuntimeError,
    "ItemError": ValueError,
    "LabelError": ValueError,
    "ModelError": ValueError,
    "NotebookError": ValueError,
    "SpaceError": RuntimeError,
    "StorageError": OSError,
    "TrainingError": RuntimeError,
    "WigglyError": Exception,
}


def test_the_list_is_complete() -> None:
    assert sorted(errors.__all__) == errors.__all__ == sorted(k.__name__ for k in KINDS) == sorted(BUILT_IN)


@pytest.mark.parametrize("kind", KINDS)
def test_form(kind: type[WigglyError]) -> None:
    error = ItemError("a.jpg", "why", "Do") if kind is ItemError else kind("rule", "received", "Do")
    assert isinstance(error, BUILT_IN[kind.__name__]) and isinstance(error, WigglyError)
    assert str(error).count("\n") == 1 and str(error).endswith(".\nDo.")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and type(again) is kind
    with pytest.raises(BUILT_IN[kind.__name__]):
        raise error


def test_full_stops() -> None:
    assert str(ArgumentError("a", "b", "c.")) == "a; b.\nc."
    assert str(ArgumentError("a", "b", "c?")) == "a; b.\nc?"
    assert str(ArgumentError("a", "b", "run `c`")) == "a; b.\nrun `c`"


def test_an_item_error_keeps_the_item() -> None:
    error = pickle.loads(pickle.dumps(ItemError("a/b.jpg", "damaged")))
    assert (error.item, error.reason) == ("a/b.jpg", "damaged") and "'a/b.jpg' is not: damaged" in str(error)
