"""Callbacks to add to a fit, a file per family: gradients, averages, best epochs, logs, trackers."""
