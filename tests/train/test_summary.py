"""The summary: its counts are torch's."""

from __future__ import annotations

import pytest
from tests.train.support import digit_learner


def test_it_counts_parameters_and_those_that_learn(capsys: pytest.CaptureFixture[str]) -> None:
    learn = digit_learner(train_bn=False)
    learn.freeze()
    learn.summary()
    out = capsys.readouterr().out
    total = sum(p.numel() for p in learn.model.parameters())
    head = sum(p.numel() for p in learn.model[1].parameters())
    assert f"Sequential: {total:,} parameters, {head:,} of them learning" in out
    conv = next(line for line in out.splitlines() if line.startswith("0.3 "))
    assert conv.split() == ["0.3", "Conv2d", f"{8 * 16 * 9 + 16:,}", "0"]
    assert "loss CrossEntropyLoss, optimizer AdamW with 2 parameter groups" in out
    assert "on cpu in float32" in out


def test_deep_parts_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    from torch import nn

    model = nn.Sequential(nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(1, 1)))))
    digit_learner(model=model).summary()
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:4]]
    assert names == ["0", "0.0", "0.0.0"]
