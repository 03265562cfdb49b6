"""`learn.report("report.html")`: everything somebody else needs to judge the model, on one page that needs
nothing else.

In: a trained Learner and a path. Out: one HTML file, no script, no outside reference, under 5 MB. Read next:
`gather.py` (what is read from the learner), `facts.py` (what a report says), `sections.py` (how it is put).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wiggly.errors import StorageError
from wiggly.interpret.box_gather import gather_boxes
from wiggly.interpret.box_sections import box_page
from wiggly.interpret.gather import gather
from wiggly.interpret.markup import is_report
from wiggly.interpret.mask_gather import gather_masks
from wiggly.interpret.mask_sections import mask_page
from wiggly.interpret.sections import page
from wiggly.interpret.tables.gather import gather_table
from wiggly.interpret.tables.sections import table_page
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.train.checkpoint import atomic_write
from wiggly.vision.detection.learner import DetectionLearner
from wiggly.vision.mask import MaskBlock

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["write_report"]


def write_report(learn: Learner, path: str | Path = "report.html", *, overwrite: bool = False) -> Path:
    """Write the report of a model: a classifier, one of masks or boxes, of tables, or of numbers or labels.

    The validation set is predicted once; some of its pictures and some of training are read again. Rows of
    tables are predicted again for every column that is shuffled.

    Args:
        learn: A trained learner.
        path: The file to write, exactly as given; folders that do not exist are made. A report that is there
            is replaced.
        overwrite: Replace what is at `path` even if it is no report.

    Returns:
        The path.

    Raises:
        StorageError: It cannot be written (no permission, a full disk, another kind of file is there); the
            file that was there is untouched.
        DataError: No validation item could be read.
    """
    place = Path(path)
    if place.is_file() and place.stat().st_size and not (overwrite or is_report(place)):
        raise StorageError(
            "`path` must be free or an earlier report",
            f"'{place}' is a file of another kind",
            "Choose another name, or move that file away.",
        )
    return atomic_write(place, _made(learn).encode("utf-8"))


def _made(learn: Learner) -> str:
    block = learn.target_block
    if isinstance(learn, DetectionLearner):
        return box_page(gather_boxes(learn))
    if isinstance(block, MaskBlock):
        return mask_page(gather_masks(learn))
    one_label = block is None or block.loss == "cross_entropy"
    if isinstance(learn.dls, TabularDataLoaders) or not one_label:
        return table_page(gather_table(learn))
    return page(gather(learn))
