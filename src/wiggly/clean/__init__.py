"""Cleaning carried out on disk: a cleaned copy, or in place with a trash that gives back; journals merged.

Reading order: `folder.py`, `copying.py`, `trash.py`, `merge.py`.
"""
