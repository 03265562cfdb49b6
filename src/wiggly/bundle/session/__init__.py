"""A bundle on ONNX Runtime: starts in less than a second, needs numpy, Pillow and onnxruntime, no torch."""

from wiggly.bundle.session.predictor import SessionPredictor, open_session

__all__ = ["SessionPredictor", "open_session"]
