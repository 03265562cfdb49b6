"""`unet_learner`: any body, any size, and that it learns to say what each pixel is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision.models
from torch import nn

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock
from wiggly.data.items import get_image_files
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import FuncSplitter
from wiggly.errors import ArgumentError, DataError, ModelError, TrainingError
from wiggly.interpret.segmentation import SegmentationInterpretation
from wiggly.train.losses.pixels import CombinedLoss, DiceLoss, FocalLoss
from wiggly.train.metrics.pixels import DiceMulti, JaccardCoeffMulti
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.decoder import SelfAttention, Unet, unet_groups, unet_model
from wiggly.vision.loaders import SegmentationDataLoaders
from wiggly.vision.mask import MaskBlock, PILMask
from wiggly.vision.models import build_model, model_config
from wiggly.vision.resize import Resize
from wiggly.vision.unet import unet_learner

CODES = ["ground", "disc", "bar", "void"]


def scene(seed: int, height: int = 48, width: int = 64) -> tuple[Any, Any]:
    """A made photo: a bright disc and a dark bar on noise; an edge of the mask is void."""
    random = np.random.default_rng(seed)
    photo = random.normal(120, 12, (height, width, 3))
    mask = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width]
    cy, cx, r = random.uniform(12, height - 12), random.uniform(12, width - 12), random.uniform(6, 11)
    mask[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = 1
    top = int(random.integers(0, height - 8))
    mask[top : top + 6, 4 : width - 4] = 2
    for index, colour in ((1, (220, 180, 60)), (2, (30, 60, 90))):
        photo[mask == index] += np.array(colour) - 120
    mask[:, :2] = 3
    return photo.clip(0, 255).astype(np.uint8), mask


def scenes(n: int = 32, **options: Any) -> DataLoaders:
    photos, masks = zip(*(scene(i) for i in range(n)), strict=True)
    numbers = {photo.tobytes(): mask for photo, mask in zip(photos, masks, strict=True)}
    settings: dict[str, Any] = {
        "bs": 8,
        "seed": 3,
        "device": "cpu",
        "codes": CODES,
        "void": "void",
        **options,
    }
    return SegmentationDataLoaders.from_label_func(".", photos, lambda p: numbers[p.tobytes()], **settings)


@pytest.fixture(scope="module")
def dls() -> DataLoaders:
    return scenes()


def quietly(learn: Any, call: str, *arguments: Any, **named: Any) -> Any:
    with learn.no_bar(), learn.no_logging():
        return getattr(learn, call)(*arguments, **named)


# ---- bodies and sizes ----

ARCHS: list[tuple[Any, tuple[int, int], dict[str, Any]]] = [
    ("test_resnet", (45, 70), {}),
    ("resnet18", (64, 96), {}),
    ("convnext_atto", (64, 64), {}),
    ("tf_efficientnet_lite0", (37, 90), {}),
    ("mobilenetv3_small_050", (64, 64), {}),
    ("regnetx_002", (65, 33), {}),
    ("densenet121", (64, 64), {}),
    ("edgenext_xx_small", (64, 64), {}),
    ("hrnet_w18_small", (64, 96), {}),
    ("swin_tiny_patch4_window7_224", (64, 96), {"img_size": (64, 96), "window_size": 4}),
    ("vit_tiny_patch16_224", (64, 64), {"img_size": 64, "depth": 2}),
    (torchvision.models.resnet18, (50, 64), {}),
    (torchvision.models.mobilenet_v3_small, (64, 64), {}),
    (torchvision.models.densenet121, (64, 64), {}),
    (torchvision.models.convnext_tiny, (64, 64), {}),
]


def name_of(arch: Any) -> str:
    return arch if isinstance(arch, str) else f"torchvision_{arch.__name__}"


@pytest.mark.parametrize(("arch", "size", "arch_args"), ARCHS, ids=[name_of(arch) for arch, *_ in ARCHS])
def test_any_body_gives_an_output_of_the_images_size(
    arch: Any, size: tuple[int, int], arch_args: Any
) -> None:
    model = unet_model(arch, 5, pretrained=False, arch_args=arch_args, image_size=size)
    out = model(torch.rand(2, 3, *size))
    assert out.shape == (2, 5, *size) and bool(out.isfinite().all())
    out.square().mean().backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert not unused  # nothing is carried along that only a classifier would need
    lower, upper, decoder = unet_groups(model)
    assert sum(map(len, (lower, upper, decoder))) == len(list(model.parameters()))
    assert json.loads(json.dumps(model_config(model))) == model_config(model)


def test_maps_are_those_of_timms_feature_extractor() -> None:
    """The same weights in `features_only=True`, which is timm's own way to the scales."""
    torch.manual_seed(0)
    model = unet_model("resnet18", 2, pretrained=False, normalize=False).eval()
    reference = timm.create_model("resnet18", features_only=True).eval()
    missing, unexpected = reference.load_state_dict(model.body.model.state_dict(), strict=False)
    assert not missing and not unexpected
    x = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        for ours, theirs in zip(model.body(x)[1:], reference(x), strict=True):
            assert torch.equal(ours, theirs)


def test_torchvisions_maps_are_those_of_its_own_extractor() -> None:
    from torchvision.models.feature_extraction import create_feature_extractor

    network = torchvision.models.resnet18().eval()
    wanted = create_feature_extractor(network, ["relu", "layer1", "layer2", "layer3", "layer4"])
    model = unet_model(lambda: network, 2, normalize=False).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(model.body(x)[1:], wanted(x).values(), strict=True):
            assert torch.equal(ours, theirs)


def test_a_sequence_of_ones_own_is_joined_at_every_scale() -> None:
    own = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
    model = unet_model(own, 2)
    assert [(tap.level, tap.channels) for tap in model.body.taps] == [(0, 8), (1, 12), (2, 12)]
    assert model(torch.rand(1, 3, 31, 20)).shape == (1, 2, 31, 20)
    assert model_config(model) is None


def test_networks_without_maps_are_refused() -> None:
    pooled = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for arch in (torchvision.models.swin_t, nn.Sequential(nn.Flatten()), torchvision.models.vit_b_16):
        with pytest.raises(ModelError, match="feature maps") as caught:
            unet_model(arch, 2, pretrained=False)
        assert "timm" in caught.value.fix
    assert unet_model(pooled, 2)(torch.rand(1, 3, 20, 20)).shape == (1, 2, 20, 20)
    with pytest.raises(ModelError, match="64×64"):
        unet_model("vit_tiny_patch16_224", 2, pretrained=False, image_size=(64, 64))
    with pytest.raises(ModelError, match="unet_model"):
        unet_groups(nn.Linear(2, 2))


def test_first_loss_is_near_that_of_a_uniform_guess() -> None:
    torch.manual_seed(0)
    model = unet_model("resnet18", 12, pretrained=False)
    loss = nn.functional.cross_entropy(model(torch.rand(2, 3, 64, 64)), torch.randint(0, 12, (2, 64, 64)))
    assert loss.item() == pytest.approx(np.log(12), abs=0.5)


def test_description_rebuilds_the_model() -> None:
    model = unet_model(
        "test_resnet",
        3,
        n_in=1,
        pretrained=False,
        last_cross=True,
        self_attention=True,
        y_range=(0, 2),
        stats=([0.3], [0.4]),
    ).eval()
    again = build_model(model_config(model) or {})
    again.load_state_dict(model.state_dict())
    x = torch.rand(1, 1, 40, 56)
    with torch.no_grad():
        assert isinstance(again, Unet) and torch.equal(again.eval()(x), model(x))
        assert 0 <= float(model(x).min()) <= float(model(x).max()) <= 2


def test_self_attention_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(16), torch.rand(2, 16, 3, 5)
    nn.init.ones_(layer.share)
    q, k, v = (part(x).flatten(2) for part in (layer.query, layer.key, layer.value))
    weights = (q.transpose(1, 2) @ k / q.shape[1] ** 0.5).softmax(-1)  # scaled, as arXiv:1706.03762 does it
    wanted = x + (v @ weights.transpose(1, 2)).reshape(x.shape)
    assert torch.allclose(layer(x), wanted, atol=1e-5)


def test_weights_of_a_file_and_frozen_encoder(dls: DataLoaders, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    network = timm.create_model("test_resnet")
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    learn = unet_learner(dls, "test_resnet", weights=tmp_path / "net.safetensors")
    assert torch.equal(learn.get_submodule("0.model.conv1.0").weight, network.conv1[0].weight)
    assert not any(p.requires_grad for p in learn.model[0].parameters())
    assert all(p.requires_grad for p in learn.model[1].parameters())
    before = {name: t.clone() for name, t in learn.model[0].state_dict().items()}
    quietly(learn, "fit", 1)
    assert all(torch.equal(before[name], t) for name, t in learn.model[0].state_dict().items())
    learn.unfreeze()
    assert all(p.requires_grad for p in learn.model.parameters()) and len(learn.groups) == 3


def test_survives_torch_export() -> None:
    model = unet_model("test_resnet", 3, pretrained=False, self_attention=True).eval()
    x = torch.rand(1, 3, 64, 96)
    program = torch.export.export(model, (x,))
    with torch.no_grad():
        assert torch.allclose(program.module()(x), model(x), atol=1e-5)


# ---- the learner ----


def test_asks_the_blocks(dls: DataLoaders) -> None:
    learn = unet_learner(dls, "test_resnet", pretrained=False, metrics=[DiceMulti, JaccardCoeffMulti()])
    assert learn.model[1].last.out_channels == 4
    assert learn.loss_func.ignore_index == 3
    assert [metric.ignore for metric in learn.metrics] == [3, 3]
    assert [m.name for m in unet_learner(dls, "test_resnet", pretrained=False).metrics] == ["pixel_accuracy"]
    weight = learn.get_submodule("1.steps.0.mix.0").weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("loss", [None, DiceLoss(), CombinedLoss([FocalLoss(), DiceLoss()])], ids=str)
def test_learns_made_scenes(dls: DataLoaders, loss: Any) -> None:
    torch.manual_seed(1)
    learn = unet_learner(dls, "test_resnet", pretrained=False, loss_func=loss, metrics=JaccardCoeffMulti())
    quietly(learn, "fit_one_cycle", 8, 1e-2)
    share = np.mean([(np.asarray(dls.valid_ds[i][1]) == 0).mean() for i in range(len(dls.valid_ds))])
    majority = share / 3  # IoU of "everything is ground": its share, and 0 for the two others
    assert learn.validate()[1] > 0.6 > majority + 0.3


def test_void_pixels_teach_nothing(dls: DataLoaders) -> None:
    torch.manual_seed(0)
    learn = unet_learner(dls, "test_resnet", pretrained=False)
    x, y = dls.one_batch()
    changed = x.clone()
    scores = torch.randn(len(x), 4, *y.shape[1:])
    other = torch.where((y == 3)[:, None], torch.randn_like(scores), scores)
    assert changed.equal(x) and torch.allclose(learn.loss_func(scores, y), learn.loss_func(other, y))


def test_predicts_a_mask_of_the_photos_own_size() -> None:
    """A crop of another size than the photo: what the model did not see is void."""
    dls = scenes(item_tfms=Resize(24))
    learn = unet_learner(dls, "test_resnet", pretrained=False)
    photo, _ = scene(99)
    mask, index, probs = learn.predict(photo)
    assert isinstance(mask, PILMask) and mask.size == (64, 48)
    assert index.shape == (24, 24) and probs.shape == (4, 24, 24)
    whole = np.asarray(mask)
    # Resize(24) crops the middle 48×48 of 48×64 and shrinks it: 8 columns on either side were not seen.
    assert (whole[:, :8] == 3).all() and (whole[:, 56:] == 3).all()
    assert (whole[:, 8:56] == index.numpy().repeat(2, 0).repeat(2, 1)).all()


def test_goes_on_to_the_edge_where_there_is_no_void() -> None:
    photos = [scene(i)[0] for i in range(8)]
    dls = SegmentationDataLoaders.from_label_func(
        ".",
        photos,
        lambda p: scene(0)[1] % 3,
        codes=CODES[:3],
        bs=4,
        seed=1,
        device="cpu",
        item_tfms=Resize(24),
    )
    learn = unet_learner(dls, "test_resnet", pretrained=False)
    whole = np.asarray(learn.predict(photos[0]).decoded)
    assert (whole[:, :8] == whole[:, 8:9]).all()


def test_results_are_drawn_twice_with_a_legend(dls: DataLoaders) -> None:
    import matplotlib.pyplot as plt

    learn = unet_learner(dls, "test_resnet", pretrained=False)
    learn.show_results(max_n=2)
    titles = [axis.get_title() for axis in plt.gcf().axes]
    assert titles == ["Target", "Prediction"] * 2
    assert {text.get_text() for text in plt.gcf().legends[0].get_texts()} <= set(CODES[:3])


@pytest.mark.slow
def test_learns_street_scenes(shared: Path) -> None:
    """CamVid in a minute or two: all 24 photos of one video held out, of which training saw nothing."""
    folder = shared / "data" / "camvid"
    codes = (folder / "codes.txt").read_text().split()
    block = DataBlock(
        blocks=(ImageBlock, MaskBlock(codes, void="Void")),
        get_items=get_image_files,
        splitter=FuncSplitter(lambda photo: photo.stem.startswith("0006R0")),
        get_y=lambda photo: folder / "labels" / f"{photo.stem}_P.png",
        item_tfms=Resize((72, 96)),
    )
    dls = block.dataloaders(folder / "images", bs=8, seed=1, device="cpu")
    weights = shared / "weights" / "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
    torch.manual_seed(1)
    learn = unet_learner(dls, "tf_efficientnet_lite0", weights=weights, metrics=JaccardCoeffMulti())
    quietly(learn, "fine_tune", 3, 1e-2)
    found = SegmentationInterpretation.from_learner(learn)
    majority = found.class_table()["share"].max()  # everything is road: 37 % of the pixels, mean IoU 3 %
    assert found.pixel_accuracy > 0.65 > majority + 0.2
    assert found.mean_iou > 0.2 > majority / 11 + 0.1
    assert found.mean_iou == pytest.approx(learn.validate()[1])
    photo = dls.valid_ds.items[0]
    assert learn.predict(photo).decoded.size == (480, 360)


# ---- what is told when it cannot work ----


def test_too_few_outputs_are_named(dls: DataLoaders) -> None:
    with pytest.raises(ArgumentError, match="at least the number of codes; it is 2, and there are 4"):
        unet_learner(dls, "test_resnet", n_out=2, pretrained=False)
    learn = unet_learner(dls, "test_resnet", n_out=2, pretrained=False, loss_func=nn.CrossEntropyLoss())
    with pytest.raises(TrainingError, match="from 0 to 1"):
        quietly(learn, "fit", 1)


def test_one_label_per_picture_is_pointed_elsewhere() -> None:
    block = DataBlock(blocks=(ImageBlock, CategoryBlock), get_x=lambda i: scene(i)[0], get_y=lambda i: i % 2)
    labels = block.dataloaders(range(8), bs=4, seed=1, num_workers=0)
    with pytest.raises(ArgumentError, match=r"the target is a CategoryBlock.\nUse vision_learner"):
        unet_learner(labels, "test_resnet", pretrained=False)
    with pytest.raises(ArgumentError, match=r"`y_range` .* got \(1, 0\)"):
        unet_learner(labels, "test_resnet", pretrained=False, y_range=(1, 0), loss_func=nn.L1Loss())


def test_pictures_of_several_sizes_in_a_batch_are_named() -> None:
    photos = [scene(i, 48, 64 + 8 * (i % 2))[0] for i in range(8)]
    dls = SegmentationDataLoaders.from_label_func(
        ".", photos, lambda p: p[..., 0] > 100, codes=["a", "b"], bs=4, seed=1, device="cpu"
    )
    with pytest.raises(DataError, match=r"same (size|shape)"):
        quietly(unet_learner(dls, "test_resnet", pretrained=False), "fit", 1)


def test_loaders_without_blocks_need_outputs_and_loss() -> None:
    samples = [(torch.rand(3, 32, 32), torch.randint(0, 2, (32, 32))) for _ in range(8)]
    plain = DataLoaders(DataLoader(samples, bs=4), DataLoader(samples, bs=4), device="cpu")
    with pytest.raises(ArgumentError, match="`n_out` is needed"):
        unet_learner(plain, "test_resnet", pretrained=False)
    learn = unet_learner(plain, "test_resnet", n_out=2, pretrained=False, loss_func=nn.CrossEntropyLoss())
    quietly(learn, "fit", 1)


def test_pictures_can_be_the_target() -> None:
    """A number per pixel and channel, of noise that only the image itself tells."""
    torch.manual_seed(1)
    samples = [(x, 1 - x) for x in (torch.rand(3, 24, 40) for _ in range(8))]
    plain = DataLoaders(DataLoader(samples, bs=4), DataLoader(samples, bs=4), device="cpu")
    learn = unet_learner(
        plain,
        "test_resnet",
        n_out=3,
        pretrained=False,
        loss_func=nn.L1Loss(),
        y_range=(0, 1),
        last_cross=True,
    )
    quietly(learn, "fit_one_cycle", 12, 1e-2)
    assert learn.validate()[0] < 0.2  # a constant grey is 0.25 off
