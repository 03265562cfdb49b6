"""`from wiggly.vision.widgets import *`: buttons, boxes and the cleaner, as a notebook of the course types
them.

The controls are those of ipywidgets. `shutil` is there because the course's loop over a cleaner moves files
with it. Read next: `../clean/widget/cleaner.py`.
"""

from __future__ import annotations

import shutil

from wiggly.clean.widget.cleaner import ImageClassifierCleaner
from wiggly.errors import DependencyError

try:
    import ipywidgets as widgets
    from ipywidgets import Box, Button, Checkbox, Dropdown, FileUpload, HBox, Label, Layout, Output, VBox
except ImportError as _error:
    raise DependencyError(
        "`wiggly.vision.widgets` needs the package ipywidgets",
        f"it cannot be imported ({_error})",
        'Install it: `pip install "wiggly[notebook]"`',
    ) from _error

__all__ = [
    "Box",
    "Button",
    "Checkbox",
    "Dropdown",
    "FileUpload",
    "HBox",
    "ImageClassifierCleaner",
    "Label",
    "Layout",
    "Output",
    "VBox",
    "shutil",
    "widgets",
]
