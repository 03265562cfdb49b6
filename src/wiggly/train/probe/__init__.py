"""The head trained on features that are computed once; fits within a time. Start with `probing.py`."""
