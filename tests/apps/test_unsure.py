"""Pages say when an answer is a guess."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from wiggly.apps.words import unsure_line
from wiggly.bundle.parts import CategoryOutput, NumbersOutput, Unsure
from wiggly.records import Prediction

DOUBT = Unsure(0.5, 0.1, 0.9, 0.9, 100)
BREED = CategoryOutput("category", ("beagle", "pug"), "softmax", "breed", unsure=DOUBT)
PRICE = NumbersOutput("numbers", ("price",), (0.0,), (9.0,))


def test_a_guess_is_named_with_its_probability() -> None:
    for probs in (torch.tensor([0.41, 0.2]), np.array([0.41, 0.2], np.float32)):
        found = Prediction("beagle", torch.tensor(0), probs)  # type: ignore[arg-type]
        assert unsure_line([BREED], found) == "Not sure: maybe beagle (41\u00a0%)"


def test_nothing_is_said_of_what_is_sure() -> None:
    assert unsure_line([BREED], Prediction("beagle", torch.tensor(0), torch.tensor([0.6, 0.4]))) == ""
    assert unsure_line([PRICE], Prediction(3.0, torch.tensor(3.0), torch.tensor([0.1]))) == ""


def test_of_several_targets_the_one_is_named() -> None:
    probs: Any = (torch.tensor([0.41, 0.2]), torch.tensor([3.0]))
    found = Prediction(["beagle", 3.0], probs, probs)
    assert unsure_line([BREED, PRICE], found) == "breed: Not sure: maybe beagle (41\u00a0%)"
