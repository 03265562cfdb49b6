"""Several answers of one bundle: the targets of a table that are of different kinds.

In: several outputs. Out: a list with what each says. Read next: `answers.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from wiggly.bundle.answers import Answer, answer_of
from wiggly.bundle.parts import Output, SeveralExample
from wiggly.bundle.replies import single
from wiggly.errors import BundleError
from wiggly.records import Prediction

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["SeveralAnswer"]


class SeveralAnswer(Answer):
    """What every output says: `(decoded, index, probs)`, a list and two tuples."""

    task = "several"

    def __init__(self, output: Sequence[Output]) -> None:
        super().__init__(output)
        self.parts = [answer_of([part]) for part in output]

    def rows(self, raw: Any) -> Sequence[tuple[Any, ...]]:
        columns = [part.rows(outputs) for part, outputs in zip(self.parts, raw, strict=True)]
        return list(zip(*columns, strict=True))

    def decode(self, row: tuple[Any, ...], seen: tuple[Any, ...]) -> Prediction:
        return _together([part.decode(one, seen) for part, one in zip(self.parts, row, strict=True)])

    def apart(self, wanted: Prediction, found: Prediction, tolerance: float) -> float:
        three = zip(self.parts, single(wanted), single(found), strict=True)
        return float(np.max([part.apart(first, second, tolerance) for part, first, second in three]))

    def recorded(self, example: SeveralExample, files: Mapping[str, bytes]) -> Prediction:
        pairs = zip(self.parts, example.answers, strict=True)
        return _together([part.recorded(answer, files) for part, answer in pairs])

    def work_out(
        self, file: str, found: Prediction, actual: Any
    ) -> tuple[SeveralExample, Mapping[str, bytes]]:
        three = zip(self.parts, single(found), actual, strict=True)
        answers = [part.work_out(file, one, said)[0] for part, one, said in three]
        return SeveralExample("several", file, cast("Any", tuple(answers))), {}

    def is_finite(self, found: Prediction) -> bool:
        return all(part.is_finite(one) for part, one in zip(self.parts, single(found), strict=True))

    @classmethod
    def describe(cls, learn: Learner, place: int) -> Output:
        raise BundleError("outputs are described one by one", "all were asked for", "Use `describe_outputs`.")


def _together(found: Sequence[Prediction]) -> Prediction:
    decoded, index, probs = zip(*found, strict=True)
    made = Prediction(list(decoded), cast("Any", index), cast("Any", probs))
    return made.marked(any(one.unsure for one in found))
