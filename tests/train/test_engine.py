"""The engine: device, precision, memory format; and malloc's settings where they exist."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch
from tests.train.support import digit_learner, small_model
from torch import nn

from wiggly.errors import ArgumentError
from wiggly.records import Batch
from wiggly.train.callback import Callback
from wiggly.train.engine import LocalEngine, default_device

CPU = LocalEngine("cpu")


def test_convolutional_models_and_batches_become_channels_last() -> None:
    model = small_model()
    CPU.prepare(model)
    assert model[0][3].weight.is_contiguous(memory_format=torch.channels_last)
    batch = CPU.to_device(Batch((torch.zeros(2, 3, 4, 5), torch.zeros(2, 7)), (torch.zeros(2),), [0, 1]))
    assert batch.inputs[0].is_contiguous(memory_format=torch.channels_last)
    assert batch.positions == [0, 1]


def test_other_models_leave_batches_as_they_are() -> None:
    engine = LocalEngine("cpu")
    engine.prepare(nn.Linear(2, 2))
    assert engine.to_device(Batch((torch.zeros(2, 3, 4, 5),), (), [0, 1])).inputs[0].is_contiguous()


def test_a_convolution_that_oneDNN_spoils_in_channels_last_stays_as_it_is() -> None:
    model = nn.Sequential(nn.Conv2d(3, 48, 1, stride=2, bias=False), nn.Conv2d(48, 8, 3))
    model = model.to(memory_format=torch.channels_last)
    engine = LocalEngine("cpu")
    engine.prepare(model)
    x = torch.rand(4, 3, 96, 96).to(memory_format=torch.channels_last)
    inputs = engine.to_device(Batch((x,), (), [])).inputs[0]
    assert inputs.is_contiguous() and model[1].weight.is_contiguous()
    rows = inputs[:, :, ::2, ::2].permute(1, 0, 2, 3).reshape(3, -1)
    model[0](inputs).sum().backward()
    assert torch.allclose(model[0].weight.grad[:, :, 0, 0], rows.sum(1).expand(48, 3), rtol=1e-3)
    engine.prepare(nn.Conv2d(16, 48, 1, stride=2))
    assert engine.to_device(Batch((x,), (), [])).inputs[0].is_contiguous(memory_format=torch.channels_last)


def test_channels_last_changes_no_number() -> None:
    x = torch.randn(4, 1, 8, 8)
    plain = small_model().eval()(x)
    model = small_model().eval()
    engine = LocalEngine("cpu")
    engine.prepare(model)
    torch.testing.assert_close(
        engine.forward(model, engine.to_device(Batch((x,), (), list(range(4))))), plain
    )


def test_bfloat16_computes_in_it_and_returns_float32() -> None:
    seen = []
    model = small_model()
    model[1][1].register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    learn = digit_learner(model=model).to_bf16()
    probs = learn.get_preds()[0]
    assert set(seen) == {torch.bfloat16}
    assert probs.dtype == torch.float32
    learn.fit(2, 1e-3)
    assert learn.recorder.losses[-1] < learn.recorder.losses[0]
    seen.clear()
    learn.to_fp32().get_preds()
    assert set(seen) == {torch.float32}


def test_float16_on_a_cpu_stays_in_float32() -> None:
    learn = digit_learner()
    assert learn.to_fp16() is learn
    assert learn.engine.precision == "float32"
    learn.fit(1)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_devices_by_name_or_object(device) -> None:
    assert LocalEngine(device).device == torch.device("cpu")


def test_a_device_that_is_not_there_is_refused() -> None:
    for device in ("gpu", "cuda:99"):
        with pytest.raises(ArgumentError, match="must be one this machine"):
            LocalEngine(device)
    with pytest.raises(ArgumentError, match="float32, float16, bfloat16"):
        LocalEngine("cpu", precision="half")
    assert LocalEngine().device.type == default_device().type


def test_the_model_is_where_the_engine_is() -> None:
    class Where(Callback):
        def after_pred(self, state):
            self.device = state.pred.device

    where = Where()
    learn = digit_learner(engine=LocalEngine("cpu"))
    learn.fit(1, cbs=where)
    assert where.device == torch.device("cpu")


MALLOC = """
import os, resource
import numpy as np
from wiggly.train.engine import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(4_000_000)  # 32 MB each, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
for setting in ("system", ""):
    os.environ["WIGGLY_MALLOC"] = setting
    done = keep_freed_memory()
    np.ones(4_000_000)
    print(done, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_kept_unless_the_user_says_no() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = [sys.executable, "-c", MALLOC]  # a process of its own: the setting cannot be taken back
    out = subprocess.run(code, env=environment, capture_output=True, text=True, check=True).stdout
    (left, many), (kept, few) = (line.split() for line in out.splitlines())
    assert (left, kept) == ("False", "True")
    assert int(few) < int(many) / 5, out
