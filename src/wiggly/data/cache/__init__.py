"""Decoded items kept between passes, in memory or on disk. Read next: `store.py`, what a cache is."""
