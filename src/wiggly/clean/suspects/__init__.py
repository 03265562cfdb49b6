"""What to look at first, each item with its reason and evidence. Start with `suggest.py`."""
