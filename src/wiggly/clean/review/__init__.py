"""The page on which people look at suspects and decide; its state and its server. Start with `review.py`."""
