"""Edits: what people decided about items, as rows of a journal; loaders apply them. Read next: `edit.py`."""
