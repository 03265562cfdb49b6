"""Losses, each with the activation that goes with it. Start with `core.py`."""
