"""Real photos in shards: the same pixels, labels, training and reports as from the files themselves."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from wiggly import (
    CategoryBlock,
    ColReader,
    DataBlock,
    ImageBlock,
    IndexSplitter,
    Learner,
    ParquetSource,
    PILImage,
    Resize,
    ShardSplitter,
    TarSource,
    accuracy,
    aug_transforms,
    get_image_files,
    load_bundle,
    set_seed,
    vision_learner,
)
from wiggly.errors import ItemError
from wiggly.vision.decode import open_image

SHARDS, EACH = 4, 15


def species(file: Path) -> str:
    return "cat" if file.name[0].isupper() else "dog"


@pytest.fixture(scope="session")
def photos(shared: Path) -> list[Path]:
    """60 photos, cats and dogs in turn; the last 15 are for validation."""
    files = get_image_files(shared / "data" / "pets")
    cats, dogs = (
        [f for f in files if species(f) == kind][:: 5 if kind == "cat" else 9] for kind in ("cat", "dog")
    )
    mixed = [f for pair in zip(cats, dogs, strict=False) for f in pair]
    return mixed[: SHARDS * EACH]


def as_parquet(photos: list[Path], folder: str) -> tuple[Any, DataBlock]:
    for k in range(SHARDS):
        part = photos[EACH * k : EACH * (k + 1)]
        pictures = [{"bytes": f.read_bytes(), "path": f.name} for f in part]
        buffer = io.BytesIO()
        pq.write_table(
            pa.table({"image": pictures, "label": [species(f) for f in part]}), buffer, row_group_size=4
        )
        fsspec.filesystem("memory").pipe_file(f"/{folder}/{k}.parquet", buffer.getvalue())
    block = DataBlock((ImageBlock, CategoryBlock), get_x=ColReader("image"), get_y=ColReader("label"),
                      splitter=ShardSplitter(1), item_tfms=Resize(48))  # fmt: skip
    return ParquetSource(f"memory://{folder}/*.parquet"), block


def as_tar(photos: list[Path], folder: str) -> tuple[Any, DataBlock]:
    for k in range(SHARDS):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for n, file in enumerate(photos[EACH * k : EACH * (k + 1)]):
                for suffix, content in (("jpg", file.read_bytes()), ("txt", species(file).encode())):
                    member = tarfile.TarInfo(f"{n:03}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        fsspec.filesystem("memory").pipe_file(f"/{folder}/{k}.tar", buffer.getvalue())
    block = DataBlock((ImageBlock, CategoryBlock), get_x=itemgetter("jpg"), get_y=itemgetter("txt"),
                      splitter=ShardSplitter(1), item_tfms=Resize(48))  # fmt: skip
    return TarSource(f"memory://{folder}/{{0..{SHARDS - 1}}}.tar"), block


@pytest.fixture(params=[as_parquet, as_tar])
def sharded(request: pytest.FixtureRequest, photos: list[Path]) -> Any:
    make: Callable[..., Any] = request.param
    yield make(photos, make.__name__)
    fsspec.filesystem("memory").rm(f"/{make.__name__}", recursive=True)


def from_files(photos: list[Path], **options: Any) -> Any:
    block = DataBlock((ImageBlock, CategoryBlock), get_y=species, item_tfms=Resize(48),
                      splitter=IndexSplitter(range(EACH * (SHARDS - 1), EACH * SHARDS)))  # fmt: skip
    return block.dataloaders(photos, **options)


def learner(dls: Any) -> Learner:
    set_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 2)
    )
    return Learner(dls, model, metrics=accuracy, lr=1e-2)


def fitted(learn: Learner, epochs: int = 1) -> Learner:
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs)
    return learn


def test_pixels_labels_and_training_are_those_of_the_files(photos: list[Path], sharded: Any) -> None:
    source, block = sharded
    options: dict[str, Any] = {"bs": 15, "seed": 0, "device": "cpu", "shuffle": False}
    mine, theirs = (
        fitted(learner(block.dataloaders(source, **options))),
        fitted(learner(from_files(photos, **options))),
    )
    assert mine.dls.vocab == theirs.dls.vocab == ["cat", "dog"]
    pairs = zip(mine.dls.train.batches(), theirs.dls.train.batches(), strict=True)
    for a, b in pairs:
        assert a.positions == b.positions
        assert all(torch.equal(x, y) for x, y in zip(a.tensors, b.tensors, strict=True))
    assert mine.recorder.values == theirs.recorder.values
    (p, t), (q, u) = mine.get_preds(), theirs.get_preds()
    assert torch.equal(p, q)
    assert torch.equal(t, u)


def test_a_shuffled_and_augmented_epoch_trains(sharded: Any, tmp_path: Path) -> None:
    source, block = sharded
    block = block.new(item_tfms=Resize(64), batch_tfms=aug_transforms(size=48))
    dls = block.dataloaders(source, bs=8, seed=0, device="cpu")
    assert (len(dls.train), len(dls.valid)) == (5, 2)
    learn = fitted(learner(dls), 2)
    assert len(learn.recorder.values) == 2
    assert not dls.bad_items
    probs, targets = learn.get_preds(ds_idx=0)  # every row, in order, the validation transforms
    assert len(probs) == 45
    assert [dls.vocab[int(t)] for t in targets] == dls.train_ds.raw_targets
    assert isinstance(dls.train_ds[7][0], PILImage)
    learn.show_results(max_n=2)
    dls.show_batch(max_n=2, unique=True)


def test_a_model_from_shards_takes_photos_and_is_reported_and_exported(
    photos: list[Path], sharded: Any, tmp_path: Path
) -> None:
    source, block = sharded
    dls = block.dataloaders(source, bs=15, seed=0, device="cpu")
    learn = fitted(vision_learner(dls, "test_vit", pretrained=False))
    label, _, probs = learn.predict(photos[0])
    assert label in ("cat", "dog")
    assert probs.shape == (2,)
    page = learn.report(tmp_path / "report.html").read_text()
    assert "45 training, 15 validation" in page
    assert f"{source.shards[-1]} " in page, "errors are called after their shard"
    bundle = load_bundle(learn.export(tmp_path / "species.wiggly"))
    assert bundle.predict(photos[0]).decoded == label


def test_hugging_face_structs_hold_bytes_or_a_path(photos: list[Path]) -> None:
    content = photos[0].read_bytes()
    expected = open_image(content).pixels()
    for struct in (
        {"bytes": content, "path": "a.jpg"},
        {"bytes": None, "path": str(photos[0])},
        {"bytes": content},
    ):
        assert (open_image(struct).pixels() == expected).all()
    assert open_image({"bytes": content, "path": "a.jpg"}).name == "a.jpg"
    with pytest.raises(ItemError, match="neither bytes nor a path"):
        open_image({"bytes": None, "path": None})
