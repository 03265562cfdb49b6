"""From a learner to one file anybody can run: data, never code.

`manifest.py` says what a bundle holds, `archive.py` reads and writes the file, `export.py` fills it from a
learner, `predictor.py` runs it without any training code. Read next: `manifest.py`.
"""
