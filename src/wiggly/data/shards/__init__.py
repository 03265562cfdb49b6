"""Shards: more rows than fit into memory or on a disk, in an order known beforehand. Read next: `source.py`."""
