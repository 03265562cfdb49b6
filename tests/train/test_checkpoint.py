"""Checkpoints: what is written comes back bit by bit; what fails leaves the old file and the model."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.train.support import body_and_head, digit_learner, digit_loaders, equal, small_model, weights_of
from torch import nn

from wiggly.errors import ArgumentError, ModelError, StorageError
from wiggly.train.checkpoint import atomic_write, replacing, save_checkpoint
from wiggly.train.optim.base import SGD


def test_weights_and_optimizer_come_back_bit_by_bit(tmp_path: Path) -> None:
    learn = digit_learner(path=tmp_path)
    learn.fit_one_cycle(1, 1e-2)
    path = learn.save("stage-1")
    assert path == tmp_path / "models" / "stage-1.safetensors"
    saved = weights_of(learn)

    again = digit_learner(path=tmp_path, model=small_model(seed=7))
    assert again.load("stage-1") is again
    assert equal(saved, weights_of(again))
    for learner in (learn, again):  # the next epoch is the same, so the optimizer's state is too
        learner.dls = digit_loaders()
        learner.fit(1)
    assert equal(weights_of(learn), weights_of(again))


def test_weights_alone(tmp_path: Path) -> None:
    learn = digit_learner(path=tmp_path)
    learn.fit(1)
    weights = load_file(learn.save("weights", with_opt=False))
    assert set(weights) == set(learn.model.state_dict())
    digit_learner(path=tmp_path, opt_func=SGD).load("weights")


def test_the_optimizer_may_be_left_out_on_loading(tmp_path: Path) -> None:
    learn = digit_learner(path=tmp_path)
    learn.fit(1)
    learn.save("both")
    other = digit_learner(path=tmp_path, splitter=lambda model: list(model.parameters()))
    before = weights_of(other)
    with pytest.raises(ModelError, match="with_opt=False"):
        other.load("both")
    assert equal(before, weights_of(other))
    assert equal(weights_of(other.load("both", with_opt=False)), weights_of(learn))


def test_an_absolute_path_and_a_suffix_are_taken_as_they_are(tmp_path: Path) -> None:
    learn = digit_learner(path=tmp_path)
    assert learn.save(tmp_path / "v1.2") == tmp_path / "v1.2.safetensors"
    learn.load(tmp_path / "v1.2.safetensors")


def test_tied_and_channels_last_weights(tmp_path: Path) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last), nn.Linear(4, 4), nn.Linear(4, 4)
    )
    model[2].weight = model[1].weight
    save_checkpoint(tmp_path / "tied.safetensors", model)
    weights = load_file(tmp_path / "tied.safetensors")
    assert torch.equal(weights["1.weight"], weights["2.weight"])
    assert torch.equal(weights["0.weight"], model[0].weight)


def test_other_layers_are_named_and_nothing_is_changed(tmp_path: Path) -> None:
    learn = digit_learner(path=tmp_path)
    learn.save("ten")
    model = small_model()
    model[1][1] = nn.Linear(256, 3)
    model[1].append(nn.Linear(3, 3))
    other = digit_learner(path=tmp_path, model=model)
    before = weights_of(other)
    with pytest.raises(ModelError) as caught:
        other.load("ten")
    assert "2 missing (1.2.weight; 1.2.bias)" in str(caught.value)
    assert "1.1.weight is (10, 256), the model's (3, 256)" in str(caught.value)
    assert equal(before, weights_of(other))


def test_a_missing_file_names_those_that_are_there(tmp_path: Path) -> None:
    learn = digit_learner(path=tmp_path)
    with pytest.raises(StorageError, match="no checkpoint"):
        learn.load("stage-1")
    learn.save("stage-1")
    with pytest.raises(StorageError, match="the folder has: stage-1"):
        learn.load("stage-2")


@pytest.mark.parametrize("length", [0, 5, 1000])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    learn = digit_learner(path=tmp_path)
    path = learn.save("cut")
    path.write_bytes(path.read_bytes()[:length])
    before = weights_of(learn)
    with pytest.raises(StorageError, match="must be a whole safetensors file"):
        learn.load("cut")
    assert equal(before, weights_of(learn))


def test_files_of_torch_are_pointed_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="weights_only=True"):
        digit_learner(path=tmp_path).load("old.pth")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = digit_learner(path=tmp_path)
    path = learn.save("kept")
    before = path.read_bytes()

    def full(tensors, filename, metadata):
        Path(filename).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("wiggly.train.checkpoint.save_file", full)
    with pytest.raises(StorageError, match=r"No space left on device[\s\S]*is untouched"):
        learn.save("kept")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["kept.safetensors"]


def test_a_limit_of_the_system_leaves_the_old_file(tmp_path: Path) -> None:
    """The same without a pretence: the system refuses to write beyond 4 KiB."""
    learn = digit_learner(path=tmp_path)
    path = learn.save("kept")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(StorageError, match="must be writable"):
            learn.save("kept")
        with pytest.raises(StorageError, match="must be writable"):
            atomic_write(path, bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["kept.safetensors"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file is in the way")
    with pytest.raises(StorageError, match="must be writable"):
        digit_learner(path=tmp_path).save("x")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        atomic_write(tmp_path / "x", b"x")


def test_an_error_of_the_writer_is_its_own(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "x") as aside:
            aside.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_state_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    class Odd(nn.Linear):
        def get_extra_state(self):
            return {"when": "now"}

    with pytest.raises(ModelError, match=r"`_extra_state`"):
        save_checkpoint(tmp_path / "x.safetensors", Odd(1, 1))


def test_sgd_without_state_and_with_plain_numbers(tmp_path: Path) -> None:
    for make in (SGD, torch.optim.ASGD):
        learn = digit_learner(path=tmp_path, opt_func=make, splitter=body_and_head)
        learn.fit(1)
        learn.save("x")
        digit_learner(path=tmp_path, opt_func=make).load("x").fit(1)
