"""What stands in an ONNX file for operators that torch's exporter does not know.

In: the operator's arguments, while a graph is being written. Out: operators of ONNX. Imported only then: it
needs onnxscript. Read next: `../../vision/detection/fixed.py`, which defines the operator.
"""

from __future__ import annotations

from typing import Any

import onnxscript

__all__ = ["write_suppressed"]

op: Any = onnxscript.opset18

MOST = 2**63 - 1  # boxes that ONNX's operator may name


def write_suppressed(boxes: Any, scores: Any, iou: float, least: float) -> Any:
    """`wiggly::suppressed`: ONNX names the boxes that are left, we mark them.

    Args:
        boxes: `(k, 4)`.
        scores: `(rows, k)`.
        iou: From which overlap on the worse one goes.
        least: Boxes with this score or less in a row are not in it.
    """
    named = op.NonMaxSuppression(
        op.Unsqueeze(boxes, op.Constant(value_ints=[0])),
        op.Unsqueeze(scores, op.Constant(value_ints=[0])),
        op.Constant(value_ints=[MOST]),
        op.Constant(value_floats=[iou]),
        op.Constant(value_floats=[least]),
    )  # (m, 3): picture, row, box
    places = op.Slice(
        named, op.Constant(value_ints=[2]), op.Constant(value_ints=[3]), op.Constant(value_ints=[1])
    )
    zeros = op.Squeeze(op.ConstantOfShape(op.Shape(places)), op.Constant(value_ints=[1]))
    ones = op.Add(zeros, op.Constant(value_float=1.0))
    count = op.Shape(boxes, start=0, end=1)
    return op.ScatterND(op.ConstantOfShape(count), places, ones)
