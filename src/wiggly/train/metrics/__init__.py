"""Metrics: numbers for people, computed on the validation set. Start with `core.py`."""
