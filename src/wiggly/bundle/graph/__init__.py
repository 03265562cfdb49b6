"""The whole model as an ONNX file, from uint8 pixels or encoded rows to probabilities.

In: what a learner's export has put together. Out: graphs, written, checked and tried in smaller variants.
Read next: `making.py`.
"""
