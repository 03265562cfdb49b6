"""From a learner to one file anybody can run: data, never code.

`manifest.py` and `parts.py` say what a bundle holds, `archive.py` reads and writes the file. What goes in is
read by a reader (`readers.py`: `pictures.py`, `rows.py`), what comes out is an answer (`answers.py`:
`categories.py`, `numbers.py`, `masks.py`, `boxes.py`), and `runner.py` puts both around the network.
`export.py` fills a bundle from a learner, `predictor.py` runs it without any training code. Read next:
`manifest.py`.
"""
