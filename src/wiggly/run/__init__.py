"""Training on a rented machine: the price first, the results brought home, nothing left that bills unnoticed.

`places.py` knows the clouds, `task.py` writes what SkyPilot is to do, `sky.py` drives its program, `rent.py`
is the whole story. Read next: `rent.py`.
"""
