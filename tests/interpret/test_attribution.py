"""Grad-CAM: the paper's formula, by autograd; hot where the clue was planted; in the photo's own pixels."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import IndexSplitter
from wiggly.errors import ArgumentError, DataError, ItemError
from wiggly.interpret.attribution import class_maps, grad_cam, heat_maps, overlaid
from wiggly.interpret.classification import ClassificationInterpretation
from wiggly.train.learner import Learner
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.learner import vision_learner
from wiggly.vision.mask import MaskBlock
from wiggly.vision.resize import Resize

SIDE, PATCH = 48, 12
Photo = np.ndarray[Any, Any]


def planted(n: int = 96, seed: int = 0) -> list[tuple[Photo, str, tuple[int, int]]]:
    """Grey noise with a striped patch somewhere: lines across are one class, lines down the other."""
    random = np.random.default_rng(seed)
    made = []
    for k in range(n):
        photo = random.integers(96, 160, (SIDE, SIDE, 3), dtype=np.uint8)
        y, x = random.integers(0, SIDE - PATCH, 2)
        lines = (np.arange(PATCH) // 2 % 2 * 255).astype(np.uint8)
        patch = np.broadcast_to(lines[:, None] if k % 2 else lines[None, :], (PATCH, PATCH))
        photo[y : y + PATCH, x : x + PATCH] = patch[:, :, None]
        made.append((photo, "across" if k % 2 else "down", (int(y), int(x))))
    return made


def loaders(samples: list[Any], item_tfms: Any = None, block: Any = CategoryBlock) -> DataLoaders:
    recipe = DataBlock(
        blocks=(ImageBlock, block),
        get_x=lambda sample: sample[0],
        get_y=lambda sample: sample[1],
        splitter=IndexSplitter(range(0, len(samples), 4)),
        item_tfms=item_tfms,
    )
    return recipe.dataloaders(samples, bs=16, device="cpu", seed=3)


def quiet(learn: Learner) -> Learner:
    learn.show_bar = learn.show_table = False
    return learn


@cache
def trained() -> Learner:
    """A small network that tells the two kinds of patch apart."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 12), (12, 24), (24, 32)):
        layers += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2) if after < 32 else nn.Identity(),
        ]
    model = nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))
    learn = quiet(Learner(loaders(planted()), model, lr=1e-2))
    learn.fit_one_cycle(12, 1e-2)
    return learn


def by_hand(body: nn.Module, head: nn.Module, x: Tensor, target: int) -> Tensor:
    """Equations 1 and 2 of arXiv:1610.02391, divided by each map's maximum."""
    features = body(x).detach().requires_grad_()
    gradients = torch.autograd.grad(head(features)[:, target].sum(), features)[0]
    weights = gradients.mean(dim=(2, 3))
    maps = torch.einsum("nc,nchw->nhw", weights, features.detach()).clamp(min=0)
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)


@pytest.mark.parametrize(("target", "seed"), [(0, 1), (1, 2)])
def test_it_is_the_papers_formula(target: int, seed: int) -> None:
    torch.manual_seed(seed)
    learn = vision_learner(loaders(planted(16)), "test_resnet", pretrained=False)
    model = learn.model.eval()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 2)
    x = torch.rand(4, 3, SIDE, SIDE)
    maps, targets = class_maps(learn, (x,), None, target)
    torch.testing.assert_close(maps, by_hand(model[0], model[1], x, target), rtol=1e-4, atol=1e-5)
    assert targets == [target] * 4
    assert maps.max() == 1
    assert maps.min() >= 0


def test_an_unfrozen_body_a_frozen_one_and_half_precision_give_the_same() -> None:
    learn = vision_learner(loaders(planted(16)), "test_resnet", pretrained=False)
    x = (torch.rand(2, 3, SIDE, SIDE),)
    free, _ = class_maps(learn, x, None, 0)
    learn.freeze()
    learn.to_bf16()
    frozen, _ = class_maps(learn, x, None, 0)
    torch.testing.assert_close(free, frozen)
    assert learn.model.training
    assert all(parameter.grad is None for parameter in learn.model.parameters())
    assert not any(part._forward_hooks for part in learn.model.modules())


def test_it_is_hot_where_the_clue_is() -> None:
    learn = trained()
    fresh = planted(24, seed=9)
    inside, distances = [], []
    for photo, label, (y, x) in fresh:
        assert learn.predict(photo).decoded == label
        heat = grad_cam(learn, photo)
        assert heat.shape == (SIDE, SIDE)
        hot = heat > 0.5
        truth = np.zeros_like(hot)
        truth[y : y + PATCH, x : x + PATCH] = True
        inside.append((hot & truth).sum() / max((hot | truth).sum(), 1))
        ys, xs = np.mgrid[:SIDE, :SIDE] + 0.5
        centre = (heat * ys).sum() / heat.sum(), (heat * xs).sum() / heat.sum()
        distances.append(np.hypot(centre[0] - y - PATCH / 2, centre[1] - x - PATCH / 2))
    assert np.mean(inside) > 0.4  # intersection over union; a map that is hot everywhere has 0.06
    assert np.median(distances) < PATCH / 2


def test_it_lies_where_the_clue_is_in_the_photo_itself() -> None:
    learn = trained()
    wide = np.random.default_rng(4).integers(96, 160, (SIDE * 2, SIDE * 4, 3), dtype=np.uint8)
    small, _, (y, x) = planted(1, seed=5)[0]
    wide[:, SIDE : SIDE * 3] = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    cropped = loaders(planted(16), Resize(SIDE))  # the middle square, half as large
    learn = quiet(Learner(cropped, learn.model))
    found = heat_maps(learn, learn.dls.test_dl([wide]), [0])[0]
    assert found.heat.shape == wide.shape[:2]
    row, column = np.unravel_index(found.heat.argmax(), found.heat.shape)
    assert 2 * y <= row < 2 * (y + PATCH)
    assert SIDE + 2 * x <= column < SIDE + 2 * (x + PATCH)
    assert not found.heat[:, : SIDE - 1].any()  # beyond the crop nothing was seen
    assert not found.heat[:, SIDE * 3 + 1 :].any()
    corners = [[SIDE, 0], [SIDE * 3, 0], [SIDE * 3, SIDE * 2], [SIDE, SIDE * 2]]
    np.testing.assert_allclose(found.view, corners, atol=1e-6)
    np.testing.assert_array_equal(found.photo, wide)
    assert overlaid(found).shape == wide.shape


def test_the_other_class_is_elsewhere() -> None:
    learn, photo = trained(), planted(1, seed=5)[0][0]
    across, down = (grad_cam(learn, photo, target=label) for label in ("across", "down"))
    assert not np.allclose(across, down)
    np.testing.assert_array_equal(across, grad_cam(learn, photo, target=0))


def test_a_layer_may_be_named_or_given() -> None:
    learn, photo = trained(), planted(1, seed=5)[0][0]
    named, given = grad_cam(learn, photo, layer="0.8"), grad_cam(learn, photo, layer=learn.model[0][8])
    np.testing.assert_array_equal(named, given)
    assert not np.allclose(named, grad_cam(learn, photo))


@pytest.mark.parametrize(
    ("arch", "arch_args"),
    [
        ("test_vit", {"img_size": SIDE}),
        ("vit_tiny_patch16_224", {"img_size": SIDE, "depth": 2, "reg_tokens": 4}),
        (
            "swin_tiny_patch4_window7_224",
            {"img_size": 64, "embed_dim": 12, "depths": (1, 1), "num_heads": (1, 2)},
        ),
        ("test_convnext", {}),
        ("test_efficientnet", {}),
    ],
)
def test_transformers_and_networks_with_channels_last(arch: str, arch_args: dict[str, Any]) -> None:
    side = arch_args.get("img_size", 96)
    dls = loaders(planted(16), Resize(side))
    learn = vision_learner(dls, arch, pretrained=False, arch_args=arch_args)
    maps, _ = class_maps(learn, (torch.rand(2, 3, side, side),), None, None)
    assert maps.shape[1] == maps.shape[2] > 1
    assert bool(((maps >= 0) & (maps <= 1)).all())
    assert grad_cam(learn, planted(1)[0][0]).shape == (SIDE, SIDE)


def test_a_transformers_map_lies_the_right_way_round() -> None:
    """The map of tokens is the picture's, not its mirror or its transpose."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.head = nn.Identity(), nn.Linear(1, 2, bias=False)
            nn.init.ones_(self.head.weight)

        def forward(self, x: Tensor) -> Tensor:
            patches = nn.functional.avg_pool2d(x, 8)[:, :1].flatten(2).transpose(1, 2)  # (n, h * w, 1)
            tokens = torch.cat([torch.zeros(len(x), 1, 1), patches], 1)
            return self.head(self.norm(tokens).mean(1))

    photo = np.zeros((32, 64, 3), np.uint8)
    photo[8:16, 40:48] = 255
    learn = Learner(loaders([(photo, "a"), (photo, "b")] * 8), Tokens())
    heat = grad_cam(learn, photo, layer="norm")
    assert np.unravel_index(heat.argmax(), heat.shape)[0] in range(8, 16)
    assert np.unravel_index(heat.argmax(), heat.shape)[1] in range(40, 48)


def test_pictures_of_top_losses_and_of_chosen_items() -> None:
    interp = ClassificationInterpretation.from_learner(trained())
    interp.plot_top_losses(4, heatmap=True)
    axes = plt.gcf().axes
    assert len(axes) == 4
    assert axes[0].get_title().replace("\n", " / ") == interp.title(interp.top_rows(1)[0])
    position = interp.top_losses(1).positions[0]
    expected = heat_maps(trained(), interp.dl, [position])[0]
    np.testing.assert_array_equal(np.asarray(axes[0].images[0].get_array()), overlaid(expected))
    plt.close("all")
    interp.plot_grad_cam(5, target="down")
    assert len(plt.gcf().axes) == 1
    with pytest.raises(ArgumentError, match=r"\[999\] are not among its 24"):
        interp.plot_grad_cam([1, 999])


def test_training_items_are_shown_without_random_changes() -> None:
    interp = ClassificationInterpretation.from_learner(trained(), ds_idx=0)
    found = heat_maps(trained(), interp.dl, [3, 1])
    assert [heat_map.position for heat_map in found] == [3, 1]
    np.testing.assert_array_equal(found[0].photo, trained().dls.train_ds.items[3][0])


def test_what_cannot_be_is_named(tmp_path: Path) -> None:
    learn, photo = trained(), planted(1)[0][0]
    with pytest.raises(ArgumentError, match="'diagonal'; there are 2 outputs"):
        grad_cam(learn, photo, target="diagonal")
    with pytest.raises(ArgumentError, match="put out a map"):
        grad_cam(learn, photo, layer="3")
    with pytest.raises(ItemError):
        grad_cam(learn, tmp_path / "nothing.jpg")
    flat = Learner(loaders(planted(16)), nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2)))
    with pytest.raises(ArgumentError, match="no part of this Sequential does"):
        grad_cam(flat, photo)
    masks = [(photo, np.zeros((SIDE, SIDE), np.uint8))] * 8
    pixels = Learner(loaders(masks, block=MaskBlock(codes=["a", "b"])), nn.Conv2d(3, 2, 1))
    with pytest.raises(ArgumentError, match="one output of a row"):
        grad_cam(pixels, photo, layer=pixels.model)
    with pytest.raises(DataError, match="DataBlock"):
        heat_maps(learn, [(torch.zeros(1, 3, 8, 8), torch.zeros(1))], [0])


def test_on_real_photos_the_heat_is_on_the_animal(shared: Path) -> None:
    """ImageNet's classes of cats and dogs; where the animal is, people have painted (the trimaps of Pets)."""
    timm = pytest.importorskip("timm")
    from PIL import Image
    from safetensors.torch import load_file

    model = timm.create_model("mobilenetv2_100", pad_type="same")
    weights = load_file(shared / "weights" / "mobilenetv2_100.tf_in1k.fp16.safetensors")
    model.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    pets = shared / "data" / "pets"
    files = [pets / "images" / f"{mask.stem}.jpg" for mask in sorted((pets / "trimaps").iterdir())[::60]]
    dls = loaders([(file, "cat" if file.name[0].isupper() else "dog") for file in files], Resize((224, 224)))
    learn = Learner(dls, nn.Sequential(Centred(), model))
    shares, areas = [], []
    for file in files:
        heat = grad_cam(learn, file)
        with Image.open(pets / "trimaps" / f"{file.stem}.png") as trimap:
            animal = np.asarray(trimap) != 2
        assert heat.shape == animal.shape
        seen = heat_maps(learn, learn.dls.test_dl([file]), [0])[0].view  # a middle crop of the photo
        (left, top), _, (right, bottom), _ = np.rint(seen).astype(int).tolist()
        shares.append(heat[animal].sum() / heat.sum())
        areas.append(animal[top:bottom, left:right].mean())
    assert len(files) > 8
    assert np.mean(shares) > np.mean(areas) + 0.15
    assert np.mean(np.array(shares) > np.array(areas)) > 0.8


class Centred(nn.Module):
    """From [0, 1] to [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x - 1
