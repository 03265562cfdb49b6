"""Images: decoding, one warp, one colour table, blocks, bodies and their learner.

Reading order: `decode.py`, `geometry.py`, `colour.py`, `image.py`, `draws.py`, `resize.py`, `augment.py`,
`blocks.py`, `loaders.py`, then `models.py` and `learner.py`. `all.py` is the namespace for star imports.
"""
