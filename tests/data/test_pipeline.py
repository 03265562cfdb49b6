"""Getters one after the other."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, TransformBlock
from wiggly.data.items import ColReader, RegexLabeller, parent_label, using_attr
from wiggly.data.pipeline import Pipeline, function_name
from wiggly.data.split import IndexSplitter
from wiggly.errors import ArgumentError, LabelError


def test_left_to_right() -> None:
    steps = [lambda x: x + 1, lambda x: x * 10, str]
    assert Pipeline(steps)(4) == "50" and Pipeline(str)(4) == "4"
    assert Pipeline([Pipeline(steps[:1]), Pipeline(steps[1:])])(4) == "50"


def test_how_it_is_written() -> None:
    made = Pipeline([ColReader("file", pref=Path("a")), using_attr(RegexLabeller("(.)"), "name"), len])
    assert repr(made) == (
        "Pipeline([ColReader('file', pref='a'), using_attr(RegexLabeller('(.)'), 'name'), len])"
    )
    assert function_name(partial(parent_label)) == "partial(parent_label)"
    assert "0x" not in function_name(object()) and function_name(Path) == "Path"


@pytest.mark.parametrize("wrong", [[], [len, 3], [None], "abc"])
def test_what_it_does_not_take(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="functions of one argument"):
        Pipeline(wrong)


def test_the_failing_step_is_named() -> None:
    with pytest.raises(LabelError) as caught:
        Pipeline([str.split, len, str.upper])("a b")
    said = str(caught.value)
    assert "step 3 of Pipeline([split, len, upper]) must take what len returned" in said
    assert "on 2 it raised TypeError" in said and "Mend step 3 (upper)" in said
    with pytest.raises(LabelError, match=r"step 1 of .* must take the item"):
        Pipeline([str.upper])(3)
    with pytest.raises(LabelError, match=r"pattern '\(z\)' must fit"):  # says itself what is wrong
        Pipeline([str, RegexLabeller("(z)")])("abc")


def test_as_every_getter() -> None:
    table = pd.DataFrame({"x": [1, 2, 3], "y": ["a b", "b", "a"], "z": ["p", "q", "p"]})
    first = Pipeline([ColReader("y"), str.split])
    upper = Pipeline([ColReader("z"), str.upper])
    number = Pipeline([ColReader("x"), float])
    blocks = (TransformBlock, MultiCategoryBlock, CategoryBlock)
    splitter = IndexSplitter([2])
    by_name = DataBlock(blocks, n_inp=1, get_x=number, get_y=[first, upper], splitter=splitter)
    by_list = DataBlock(blocks, n_inp=1, getters=[number, first, upper], splitter=splitter)
    for block in (by_name, by_list):
        sets = block.datasets(table)
        assert [v.tolist() for v in sets.train[0]] == [1.0, [1.0, 1.0], 0]
        assert sets.vocab == [["a", "b"], ["P", "Q"]]
    single = DataBlock((TransformBlock, CategoryBlock), get_x=number, get_y=upper, splitter=splitter)
    assert single.datasets(table).vocab == ["P", "Q"]
