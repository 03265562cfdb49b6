"""What went wrong and why: the losses table, the confusion matrix, the honest score, the report.

In: a trained Learner. Out: numbers, plots and one self-contained HTML page. Nothing here keeps inputs in
memory: what has to be seen again is read again from the data set. Read next: `score.py`, then
`interpretation.py`, `classification.py`, `report.py`.
"""
