"""Runs that go on after a kill as if nothing had happened. Start with `run.py`."""
