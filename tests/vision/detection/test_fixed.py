"""Detection in operations of fixed shape, compared with torchvision's own."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import batched_nms

from wiggly.vision.detection.fixed import found_in_fixed_shapes, suppressed
from wiggly.vision.detection.models import detector_model

FAMILIES = [("fcos", "test_resnet"), ("retinanet", "test_resnet"), ("fasterrcnn", "test_resnet")]


@pytest.mark.parametrize(("arch", "body"), [*FAMILIES, ("ssdlite320_mobilenet_v3_large", None)])
def test_the_same_as_torchvision_finds(arch: str, body: str | None) -> None:
    torch.manual_seed(0)
    detector = detector_model(arch, 5, body=body, pretrained=False).eval()
    with torch.no_grad():
        for weight in detector.parameters():
            if weight.ndim > 1:  # far from the start, where everything has one score
                weight.add_(torch.randn_like(weight) * 0.05)
        image = torch.rand(1, 3, 128, 160)
        boxes, labels, scores = detector(image)[:3]
        found = found_in_fixed_shapes(detector, image)
    sure = scores[0] > 0.05
    assert sure.sum() > 3
    torch.testing.assert_close(found[2][0][: len(sure)][sure], scores[0][sure], atol=1e-5, rtol=0)
    alone = sure.clone()  # equal scores may come in any order
    alone[1:] &= scores[0][1:] < scores[0][:-1] - 1e-5
    alone[:-1] &= scores[0][:-1] > scores[0][1:] + 1e-5
    torch.testing.assert_close(found[0][0][: len(sure)][alone], boxes[0][alone], atol=1e-4, rtol=0)
    assert torch.equal(found[1][0][: len(sure)][alone], labels[0][alone])


def test_suppression_is_torchvisions() -> None:
    torch.manual_seed(1)
    corners = torch.rand(200, 2) * 50
    boxes, scores = torch.cat([corners, corners + 5 + torch.rand(200, 2) * 30], 1), torch.rand(200)
    labels = torch.randint(0, 3, (200,))
    rows = torch.where(labels == torch.arange(3)[:, None], scores, -1.0)
    kept = suppressed(boxes, rows, 0.5, 0.1) > 0
    wanted = [k for k in batched_nms(boxes, scores, labels, 0.5).tolist() if scores[k] > 0.1]
    assert sorted(wanted) == torch.where(kept)[0].tolist() and 0 < len(wanted) < 200
