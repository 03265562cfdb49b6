"""Batches in, weights and a history out. Start with `loop.py`, which all other files here serve."""
