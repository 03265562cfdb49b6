"""Items to batches: where items come from, how they are split, turned into tensors, and loaded in threads.

Reading order: `items.py`, `split.py`, `blocks.py`, `transform.py`, `block.py`, `loader.py`, `show.py`.
"""
