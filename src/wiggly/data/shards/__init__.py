"""Shards: more rows than fit into memory or on a disk, dealt in a known order. Read next: `source.py`."""
