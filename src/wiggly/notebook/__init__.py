"""A notebook becomes a module: its marked cells, checked by importing them alone, and kept in step.

`reading.py` opens a notebook, `directives.py` finds the marks, `module.py` writes what they ask for. Read
next: `export.py`, which does all of it.
"""
