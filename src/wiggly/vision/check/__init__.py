"""The preflight of a data set: `wiggly data check FOLDER` and `dls.check()`. Read next: `run.py`."""

from __future__ import annotations

from wiggly.vision.check.findings import DataCheck, Finding
from wiggly.vision.check.run import check_folder, check_loaders

__all__ = ["DataCheck", "Finding", "check_folder", "check_loaders"]
