"""Optimizers, their parameter groups, and the schedules of their rates. Start with `base.py`."""
