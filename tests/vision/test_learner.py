"""`vision_learner`: what it asks the loaders, whose statistics win, and that it learns real photos."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision.models
from torch import nn

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, ModelError
from wiggly.train.optim.base import SGD
from wiggly.vision.augment import Normalize, RandomResizedCrop, Resize, aug_transforms
from wiggly.vision.image import PILImageBW
from wiggly.vision.learner import vision_learner
from wiggly.vision.loaders import ImageDataLoaders
from wiggly.vision.models import build_model

LITE0 = "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"


def loaders(folder: Path, **options: Any) -> DataLoaders:
    options = {"item_tfms": Resize(32), "bs": 16, "valid_pct": 0.2, "seed": 42, "device": "cpu", **options}
    return ImageDataLoaders.from_folder(folder, **options)


@pytest.fixture(scope="module")
def digits(digits_folder: Path) -> DataLoaders:
    return loaders(digits_folder)


def quietly(learn: Any, call: str, *arguments: Any, **named: Any) -> Any:
    with learn.no_bar(), learn.no_logging():
        return getattr(learn, call)(*arguments, **named)


def means(learn: Any) -> list[float]:
    return [round(m, 3) for m in learn.model[0].mean.flatten().tolist()]


def test_asks_the_blocks(digits: DataLoaders) -> None:
    learn = vision_learner(digits, "test_resnet", pretrained=False)
    x, y = digits.one_batch()
    with torch.no_grad():
        pred = learn.model.cpu()(x)
    assert pred.shape == (16, 10)
    assert learn.loss_func(pred, y).isfinite()
    assert [m.name for m in learn.metrics] == ["error_rate"]
    assert len(learn.groups) == 2
    assert learn.path == digits.path


def test_metrics_can_be_chosen_or_left_out(digits: DataLoaders) -> None:
    assert vision_learner(digits, "test_resnet", pretrained=False, metrics=[]).metrics == []


def test_grey_images_get_one_channel(digits_folder: Path) -> None:
    learn = vision_learner(loaders(digits_folder, img_cls=PILImageBW), "test_resnet", pretrained=False)
    assert learn.model[0].mean.shape == (1, 1, 1, 1)
    assert isinstance(quietly(learn, "validate")[0], float)


def test_two_learners_on_the_same_loaders_keep_their_own_statistics(digits: DataLoaders) -> None:
    """fastai gives the second one those of the first."""
    first = vision_learner(digits, "test_resnet", pretrained=False)
    second = vision_learner(digits, torchvision.models.squeezenet1_1, pretrained=False)
    quietly(first, "validate")
    assert means(first) == [round(m, 3) for m in timm.models.get_pretrained_cfg("test_resnet").mean]
    assert means(second) == [0.485, 0.456, 0.406]
    assert first.model[0].normalise and second.model[0].normalise


def test_statistics_of_the_loaders_win_and_the_argument_over_them(digits_folder: Path) -> None:
    dls = loaders(digits_folder, batch_tfms=Normalize.from_stats([0.1] * 3, [0.2] * 3))
    assert means(vision_learner(dls, "test_resnet", pretrained=False)) == [0.1] * 3
    assert means(vision_learner(dls, "test_resnet", pretrained=False, normalize=False)) == [0.1] * 3
    said = ([0.3], [0.4])
    assert means(vision_learner(dls, "test_resnet", pretrained=False, stats=said)) == [0.3] * 3
    images, _ = dls.one_batch()
    assert images.min() >= 0 and images.max() <= 1  # the model normalises, not the loaders


def test_size_is_checked_when_the_learner_is_made(digits_folder: Path) -> None:
    dls = loaders(digits_folder, item_tfms=Resize(48), batch_tfms=aug_transforms(size=(32, 48)))
    with pytest.raises(ModelError, match="32×48") as caught:
        vision_learner(dls, "vit_tiny_patch16_224", pretrained=False)
    assert "Resize(224)" in caught.value.fix
    dls = loaders(digits_folder, item_tfms=RandomResizedCrop(32))
    learn = vision_learner(
        dls, "vit_tiny_patch16_224", pretrained=False, arch_args={"img_size": 32, "depth": 1}
    )
    assert len(quietly(learn, "validate")) == 2


def test_without_pretrained_weights_nothing_is_frozen(digits: DataLoaders) -> None:
    learn = vision_learner(digits, "test_resnet", pretrained=False)
    assert all(p.requires_grad for p in learn.model.parameters())


def test_with_weights_the_body_is_frozen(digits: DataLoaders, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "net.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    learn = vision_learner(digits, "test_resnet", weights=path, train_bn=False)
    assert not any(p.requires_grad for p in learn.model[0].parameters())
    assert all(p.requires_grad for p in learn.model[1].parameters())
    before = learn.model[0].model.conv1[0].weight.clone()
    quietly(learn, "fit", 1)
    assert torch.equal(learn.model[0].model.conv1[0].weight, before)
    learn.unfreeze()
    assert all(p.requires_grad for p in learn.model.parameters())


def test_torchvisions_resnet_has_three_groups(digits: DataLoaders) -> None:
    learn = vision_learner(digits, torchvision.models.resnet18, pretrained=False, opt_func=SGD)
    assert len(learn.groups) == 3


def test_splitter_and_custom_head(digits: DataLoaders) -> None:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10))
    learn = vision_learner(
        digits, "test_resnet", pretrained=False, custom_head=head, splitter=lambda m: list(m.parameters())
    )
    assert learn.model[1] is head and len(learn.groups) == 1 and learn.model_config is None


def test_model_is_channels_last(digits: DataLoaders) -> None:
    learn = vision_learner(digits, "test_resnet", pretrained=False)
    weight = learn.get_submodule("0.model.layer1.0.conv1").weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_description_rebuilds_the_learners_model(digits: DataLoaders) -> None:
    learn = vision_learner(digits, "test_resnet", pretrained=False)
    model = build_model(learn.model_config)
    model.load_state_dict(learn.model.state_dict())
    x, _ = digits.one_batch()
    with torch.no_grad():
        assert torch.equal(model.eval()(x), learn.model.cpu().eval()(x))


def test_loaders_without_blocks_need_the_number_of_outputs() -> None:
    batches = [(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1]))]
    dls = DataLoaders(batches, batches, device="cpu")
    with pytest.raises(ArgumentError, match="`n_out` is needed"):
        vision_learner(dls, "test_resnet", pretrained=False)
    learn = vision_learner(dls, "test_resnet", n_out=2, pretrained=False, loss_func=nn.CrossEntropyLoss())
    assert len(quietly(learn, "validate")) == 1


def test_several_targets_need_the_number_of_outputs(digits_folder: Path) -> None:
    from wiggly.data.block import DataBlock
    from wiggly.data.blocks import CategoryBlock
    from wiggly.data.items import get_image_files, parent_label
    from wiggly.data.split import RandomSplitter
    from wiggly.vision.blocks import ImageBlock

    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock, CategoryBlock),
        n_inp=1,
        get_items=get_image_files,
        get_y=[parent_label, lambda path: int(path.parent.name) % 2],
        splitter=RandomSplitter(0.2, seed=0),
        item_tfms=Resize(32),
    )
    dls = block.dataloaders(digits_folder, device="cpu")
    with pytest.raises(ArgumentError, match=r"they have 2 with \[10, 2\] outputs(.|\n)*n_out=12"):
        vision_learner(dls, "test_resnet", pretrained=False)


def test_old_names_warn_at_the_users_line(digits: DataLoaders) -> None:
    args = {"img_size": 32, "depth": 1}
    with pytest.warns(UserWarning, match="timm now calls") as caught:
        vision_learner(digits, "xcit_nano_12_p16_224_dist", pretrained=False, arch_args=args)
    assert [w.filename for w in caught] == [__file__]


def test_learns_random_patterns_by_heart() -> None:
    """Two random pictures per class: a model that cannot learn these is wired wrongly."""
    torch.manual_seed(0)
    samples = [(torch.rand(3, 32, 32), i % 2) for i in range(4)] * 8
    dls = DataLoaders(DataLoader(samples, bs=8, shuffle=True), DataLoader(samples, bs=8), device="cpu")
    learn = vision_learner(
        dls, "test_resnet", n_out=2, pretrained=False, loss_func=nn.CrossEntropyLoss(), ps=0
    )
    quietly(learn, "fit_one_cycle", 8, 1e-2)
    assert quietly(learn, "validate")[0] < 0.1


def test_tells_ants_from_bees(shared: Path) -> None:
    """A head on pretrained features of 96-pixel photos; guessing gives an error of one half."""
    photos = shared / "data" / "hymenoptera"
    files = [
        path
        for part, count in (("train", 60), ("val", 30))
        for kind in ("ants", "bees")
        for path in itertools.islice(sorted((photos / part / kind).glob("*.jpg")), count)
    ]
    dls = ImageDataLoaders.from_lists(
        photos,
        files,
        [path.parent.name for path in files],
        valid_pct=0.34,
        seed=1,
        item_tfms=Resize(96),
        bs=16,
        device="cpu",
    )
    torch.manual_seed(0)
    learn = vision_learner(dls, "tf_efficientnet_lite0", weights=shared / "weights" / LITE0, train_bn=False)
    quietly(learn, "fit_one_cycle", 3, 5e-3)
    assert quietly(learn, "validate")[1] < 0.2
