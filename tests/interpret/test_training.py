"""What the report says about the fits, read back as Python."""

from __future__ import annotations

import pytest
import torch
from tests.train.support import digit_learner

from wiggly.interpret.training import model_facts, snippet
from wiggly.train.optim.base import SGD
from wiggly.train.optim.by_name import as_code, wrap_optimizer
from wiggly.train.optim.more import ranger

RECIPE = {
    "call": "",
    "source": "",
    "splitter": "",
    "blocks": "",
    "item_tfms": (),
    "batch_tfms": (),
    "bs": 64,
    "seed": 1,
}


def test_a_probe_comes_out_as_a_probe() -> None:
    learn = digit_learner(splitter=lambda model: [list(part.parameters()) for part in model])
    learn.freeze()
    learn.probe()
    learn.unfreeze()
    learn.fit(1, 1e-3)
    program = snippet(learn, RECIPE).splitlines()
    assert program[-4:] == [
        "learn.probe()",
        "learn.unfreeze()",
        "learn.fit(1, 0.001)",
        'learn.report("report.html")',
    ]


def halving(step: int) -> float:
    return 1e-2 * 0.5**step


def test_every_fit_comes_out_as_the_call_that_makes_it() -> None:
    learn = digit_learner()
    learn.fit(1, 1e-3)
    learn.fit_one_cycle(2, slice(1e-4, 1e-2), wd=0.1)
    learn.fit_flat_cos(1, 2e-3, pct_start=0.5)
    learn.fit_sgdr(2, 1, 5e-3, cycle_mult=3)
    learn.fit(1, schedule=halving)
    learn.fit(1, schedule=lambda step: 1e-3)
    program = snippet(learn, RECIPE).splitlines()
    assert [line for line in program if line.startswith("learn.fit")] == [
        "learn.fit(1, 0.001)",
        "learn.fit_one_cycle(2, [0.0001, 0.01], div=25, div_final=100000, pct_start=0.25, wd=0.1)",
        "learn.fit_flat_cos(1, 0.002, div_final=100000, pct_start=0.5)",
        "learn.fit_sgdr(2, 1, 0.005, cycle_mult=3)",
        "learn.fit(1, schedule=halving)",
        "learn.fit(1, schedule=your_schedule)",
    ]
    facts = model_facts(learn, RECIPE)
    assert "1 epoch, constant, then falling, rate 0.002" in facts["Phase 3"]
    assert "4 epochs, warm restarts, highest rate 0.005" in facts["Phase 4"]
    assert "1 epoch, own schedule, first rate 0.01" in facts["Phase 5"]


@pytest.mark.parametrize(
    ("opt_func", "code"),
    [
        (ranger, "ranger"),
        (SGD, "SGD"),
        (torch.optim.RAdam, "torch.optim.RAdam"),
        (wrap_optimizer("lion"), "wrap_optimizer('lion')"),
        (
            wrap_optimizer(torch.optim.AdamW, betas=(0.9, 0.99)),
            "wrap_optimizer(torch.optim.AdamW, betas=(0.9, 0.99))",
        ),
    ],
)
def test_an_optimizer_comes_out_as_code(opt_func, code: str) -> None:
    assert as_code(opt_func) == code
