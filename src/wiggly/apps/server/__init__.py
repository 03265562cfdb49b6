"""A model as an HTTP service: `/v1/predict` and what belongs to it.

`app.py` puts it together, `start.py` listens. A request's body is read by `body.py` and `inputs.py` within
the `limits.py`, answered by `worker.py`, and refused by `refusals.py`; `routes.py` has the addresses. Nothing
here imports torch: the predictor that is handed in decides. Read next: `app.py`.
"""
