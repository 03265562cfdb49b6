"""The small helpers of the course's notebooks, against Python's, numpy's and torch's own."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from wiggly.data.basics import L, first, range_of, set_seed, tensor
from wiggly.errors import ArgumentError


def test_l_is_a_list_that_maps() -> None:
    items = L(3, 1, 2)
    assert items == L([3, 1, 2]) == L(x for x in (3, 1, 2)) == [3, 1, 2] and L() == [] and L("ab") == ["ab"]
    assert items.map(lambda x, y: x + y, 1) == [4, 2, 3] and items.filter(lambda x: x > 1) == [3, 2]
    assert items.sorted() == [1, 2, 3] and items.sorted(reverse=True) == [3, 2, 1]
    assert items[1:] == [1, 2] and isinstance(items[1:], L) and items[[0, 2]] == [3, 2]
    assert items[torch.tensor([True, False, True])] == items[np.array([True, False, True])] == [3, 2]
    assert L("bb", "a").sorted(len) == ["a", "bb"] and L(1, 2).zipwith([3, 4]) == [(1, 3), (2, 4)]
    assert L([1, 2], [3]).concat() == [1, 2, 3] and L(2, 1, 2).unique() == [2, 1]
    assert L([(1, 2), (3, 4)]).itemgot(1) == [2, 4] and L(1j).attrgot("imag") == [1]
    assert items.argwhere(lambda x: x > 1) == [0, 2]


def test_first_and_range_of() -> None:
    assert first("ab") == "a" and first([]) is None and first([1, 2], lambda x: x > 1) == 2
    assert range_of("abc") == [0, 1, 2]


@pytest.mark.parametrize("seed", [0, 2**40])
def test_set_seed(seed: int) -> None:
    def draws() -> tuple[float, ...]:
        set_seed(seed)
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    assert draws() == draws()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def test_set_seed_takes_integers_only() -> None:
    set_seed(np.int64(3))
    with pytest.raises(ArgumentError, match="a seed must be an integer; it is 'x'"):
        set_seed("x")  # type: ignore[arg-type]


def test_tensor_from_anything() -> None:
    assert tensor(1, 2).tolist() == tensor([1, 2]).tolist() == tensor(np.array([1, 2])).tolist() == [1, 2]
    assert tensor(2.5).dtype == tensor(np.float64(2.5)).dtype == tensor([0.5]).dtype == torch.float32
    assert tensor(pd.Series([1.5, 2])).tolist() == [1.5, 2.0] and tensor(pd.DataFrame({"a": [1]})).shape == (
        1,
        1,
    )
    assert tensor(Image.new("RGB", (3, 2))).shape == (2, 3, 3)
