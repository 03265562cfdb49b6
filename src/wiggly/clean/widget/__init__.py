"""The cleaner of the course in a notebook: `ImageClassifierCleaner`. Start with `cleaner.py`."""
