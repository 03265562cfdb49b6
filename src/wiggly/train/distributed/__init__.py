"""One model trained by several processes. Start with `engine.py`."""
