"""Where one class is taken for another: confusion matrix, most confused pairs, the report per class.

In: a Learner whose target is one category. Out: `ClassificationInterpretation`. Rows of every matrix are the
actual class, columns the predicted one. Read next: `report.py`, which puts all of it on one page.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from wiggly.data.blocks import Block
from wiggly.errors import ArgumentError
from wiggly.interpret.confusion import confused_pairs, draw_confusions
from wiggly.interpret.interpretation import Interpretation
from wiggly.records import Predictions

__all__ = ["ClassificationInterpretation", "count_confusions"]


def count_confusions(
    actual: npt.NDArray[Any], predicted: npt.NDArray[Any], n_classes: int
) -> npt.NDArray[np.int64]:
    """Count how often each class is taken for each.

    Args:
        actual: Class index of each item, shape `(n,)`, in [0, n_classes).
        predicted: Predicted class index, shape `(n,)`.
        n_classes: Number of classes c.

    Returns:
        Counts, shape `(c, c)`: rows actual, columns predicted.

    Example:
        >>> count_confusions(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    flat = actual.astype(np.int64) * n_classes + predicted.astype(np.int64)
    return np.bincount(flat, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


class ClassificationInterpretation(Interpretation):
    """Predictions of a whole set of single-label items beside the truth.

    Make it with `from_learner`.

    Attributes:
        vocab: The class labels, in the order of the model's outputs.
        decoded: Predicted class index of each row, `(n,)`.
    """

    def __init__(self, dl: Any, predictions: Predictions, blocks: tuple[Block | None, Block | None]) -> None:
        super().__init__(dl, predictions, blocks)
        block, shape = self.target_block, tuple(getattr(self.preds, "shape", ()))
        # Loaders made outside wiggly name no classes: then they are called 0, 1, 2, ...
        vocab = range(shape[-1] if shape else 0) if block is None else block.vocab
        if vocab is None or (block is not None and block.loss != "cross_entropy") or len(shape) != 2:
            raise ArgumentError(
                "classification needs one category per item",
                f"the target is a {type(block).__name__}, outputs are {shape or type(self.preds).__name__}",
                "Use `Interpretation` instead.",
            )
        if shape[1] < 2:
            raise ArgumentError(
                "classification needs a probability for each class",
                "the model has 1 output",
                "Train it with n_out=2, or use `Interpretation`.",
            )
        self.vocab: list[Any] = list(vocab)
        self.decoded = self.preds.argmax(dim=1)

    @property
    def labels(self) -> list[str]:
        """The vocabulary as text."""
        return [str(label) for label in self.vocab]

    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """Counts of shape `(c, c)`: rows are the actual class, columns the predicted one."""
        return count_confusions(self.targs.numpy(), self.decoded.numpy(), len(self.vocab))

    def most_confused(self, min_val: int = 1) -> list[tuple[Any, Any, int]]:
        """The pairs of classes that are mixed up most often.

        Args:
            min_val: Leave out pairs that occur less often.

        Returns:
            `(actual, predicted, n)`, most frequent first; equal counts in the order of the vocabulary.
        """
        return confused_pairs(self.confusion_matrix(), self.vocab, min_val)

    def plot_confusion_matrix(
        self,
        normalize: bool = False,
        title: str = "Confusion matrix",
        cmap: Any = "Blues",
        figsize: tuple[float, float] | None = None,
        dpi: float | None = None,
    ) -> None:
        """Draw the confusion matrix.

        Args:
            normalize: Show shares of each actual class instead of counts; a class without items stays 0.
            title: Text above.
            cmap: A matplotlib colour map or its name.
            figsize: Width and height in inches; by default it grows with the number of classes up to 20.
            dpi: Dots per inch; matplotlib's own by default.
        """
        draw_confusions(self.confusion_matrix(), self.labels, normalize, title, cmap, figsize, dpi)

    def print_classification_report(self) -> None:
        """Print scikit-learn's precision, recall and F1 per class, under the names of the vocabulary."""
        from sklearn.metrics import classification_report

        actual, predicted, classes = self.targs.numpy(), self.decoded.numpy(), range(len(self.vocab))
        text = classification_report(
            actual, predicted, labels=list(classes), target_names=self.labels, zero_division=cast("Any", 0.0)
        )
        print(text)

    @property
    def heading(self) -> str:
        """Says what the parts of `title` are."""
        return "Prediction/Actual/Loss/Probability"

    def title(self, row: int) -> str:
        """Prediction, truth, loss and probability of the predicted class."""
        predicted = int(self.decoded[row])
        return f"{super().title(row)} / {self.preds[row, predicted]:.2f}"

    def decoded_pred(self, row: int) -> Any:
        """The predicted label of a row."""
        return self.vocab[int(self.decoded[row])]

    def decoded_target(self, row: int) -> Any:
        """The actual label of a row."""
        return self.vocab[int(self.targs[row])]
