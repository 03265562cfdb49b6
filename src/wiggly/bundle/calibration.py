"""Probabilities that mean what they say, and a threshold below which the model admits that it is not sure.

In: scores of validation items, before the activation. Out: outputs with a temperature, with what it does to
the calibration error, and with an `Unsure`. The likeliest class never changes by any of it. Read next:
`card.py`, which tells it to people.

Temperature: scores are divided by one number, the one that makes the validation targets likeliest (Guo et
al., "On calibration of modern neural networks", arXiv:1706.04599, section 4.2); it is used only if that makes
targets likelier that it was not fitted on. Threshold: the lowest at which the answers that remain are right
as often as was wanted (selective classification: Geifman and El-Yaniv, arXiv:1705.08500). What is written
down of both is measured two-fold: on each half of the items with the number fitted on the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from wiggly.bundle.held_out import HeldOut
from wiggly.bundle.parts import Calibration, CategoryOutput, LabelsOutput, Output, Unsure
from wiggly.errors import ArgumentError
from wiggly.interpret.score import calibration_error

__all__ = ["LEAST_ITEMS", "calibrated", "calibrated_category", "calibrated_labels", "choose_unsure"]

#: Below so many validation items nothing is fitted: it would be chance.
LEAST_ITEMS = 50
#: Below so many wrong answers nobody can say where the wrong ones are.
LEAST_WRONG = 10
#: Temperatures that are looked at; scores looked at (more change nothing that anybody would see).
COLDEST, HOTTEST, MOST_SCORES = 0.05, 20.0, 1 << 22

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


def calibrated(
    seen: HeldOut, outputs: Sequence[Output], calibrate: bool = True, wanted_accuracy: float | None = None
) -> tuple[Output, ...]:
    """Outputs with the temperature and the threshold that suit the validation items.

    Args:
        seen: What the learner says of its validation items; asked only if an output has classes.
        outputs: As they were described.
        calibrate: False leaves the temperature at 1.
        wanted_accuracy: How often answers that are not "unsure" should be right, in (0, 1]; None: see
            `choose_unsure`.

    Raises:
        ArgumentError: `wanted_accuracy` is no share, or no output has one class as its answer.
    """
    categories = [output for output in outputs if isinstance(output, CategoryOutput)]
    _check_wanted(wanted_accuracy, bool(categories))
    found: list[Output] = []
    for place, output in enumerate(outputs):
        if isinstance(output, CategoryOutput | LabelsOutput):
            known = seen.scores(place, len(output.vocabulary))
            if known is not None:
                output = _fitted(output, *_few_enough(*known), calibrate, wanted_accuracy)
        found.append(output)
    if wanted_accuracy is not None and not any(getattr(output, "unsure", None) for output in found):
        warnings.warn(
            f"no answer is called unsure: {wanted_accuracy:.0%} right answers cannot be reached, or not be "
            f"told from chance, with these validation items (at least {LEAST_ITEMS} are needed)",
            stacklevel=4,
        )
    return tuple(found)


def _check_wanted(wanted: float | None, has_category: bool) -> None:
    if wanted is None:
        return
    if not 0 < wanted <= 1:
        raise ArgumentError(
            "`wanted_accuracy` must be a share above 0 and at most 1", f"it is {wanted}", "Pass e.g. 0.95."
        )
    if not has_category:
        raise ArgumentError(
            "`wanted_accuracy` is for models that answer with one class",
            "this one has no such target",
            "Leave it out.",
        )


def _fitted(
    output: CategoryOutput | LabelsOutput,
    scores: Floats,
    targets: npt.NDArray[Any],
    calibrate: bool,
    wanted: float | None,
) -> Output:
    if isinstance(output, LabelsOutput):
        finite = bool(np.isfinite(scores).all())
        return calibrated_labels(output, scores, targets) if calibrate and finite else output
    there = (targets >= 0) & (targets < scores.shape[1]) & np.isfinite(scores).all(1)
    scores, targets = scores[there], targets[there].astype(np.int64)
    made = calibrated_category(output, scores, targets) if calibrate else output
    probabilities = _softmax(scores / made.temperature)
    right = probabilities.argmax(1) == targets
    return replace(made, unsure=choose_unsure(probabilities.max(1), right, wanted))


def _few_enough(scores: Floats, targets: npt.NDArray[Any]) -> tuple[Floats, npt.NDArray[Any]]:
    """A random part of many items, always the same."""
    most = max(LEAST_ITEMS, MOST_SCORES // scores.shape[1])
    if len(scores) <= most:
        return scores, targets
    kept = np.random.default_rng(0).permutation(len(scores))[:most]
    return scores[kept], targets[kept]


# ---- temperature ----


def calibrated_category(output: CategoryOutput, scores: Floats, targets: Whole) -> CategoryOutput:
    """The output with its temperature; as it is where there are too few items.

    Args:
        output: One class out of a vocabulary.
        scores: `(n, c)`, before the softmax.
        targets: Index of the right class, `(n,)`.

    Example:
        >>> output = CategoryOutput("category", ("ant", "bee"), "softmax")
        >>> scores = np.array([[5.0, 0.0]] * 100)  # 99.3 % sure, right 3 times in 4
        >>> made = calibrated_category(output, scores, np.array([0, 0, 0, 1] * 25))
        >>> round(made.temperature, 1), round(made.calibration.error_before, 2)
        (4.7, 0.24)
    """

    def measure(temperatures: Floats) -> tuple[float, float]:
        probabilities = _softmax(scores / temperatures[:, None])
        said, answer = probabilities.max(1), probabilities.argmax(1)
        nll = _nll(probabilities[np.arange(len(targets)), targets])
        return calibration_error(said, answer == targets), nll

    def fit(rows: Whole) -> float:
        return _category_temperature(scores[rows], targets[rows])

    return replace(output, **_cross_fitted(len(scores), fit, measure))


def calibrated_labels(output: LabelsOutput, scores: Floats, targets: npt.NDArray[Any]) -> LabelsOutput:
    """The output with its temperature, and with the threshold that names the same classes as before.

    Args:
        output: Any number of classes out of a vocabulary.
        scores: `(n, c)`, before the sigmoid.
        targets: `(n, c)`, 1 for a class that applies.
    """
    hot = targets.reshape(scores.shape) > 0.5

    def measure(temperatures: Floats) -> tuple[float, float]:
        chances = _sigmoid(scores / temperatures[:, None])
        return calibration_error(chances.ravel(), hot.ravel()), _nll(np.where(hot, chances, 1 - chances))

    def fit(rows: Whole) -> float:
        return _labels_temperature(scores[rows], hot[rows])

    found = _cross_fitted(len(scores), fit, measure)
    return replace(output, **found, threshold=_moved(output.threshold, found.get("temperature", 1.0)))


def _moved(threshold: float, temperature: float) -> float:
    """The threshold of a probability, where the score that reached it is divided by a temperature."""
    if not 0 < threshold < 1 or temperature == 1 or threshold == 0.5:
        return threshold
    return float(_sigmoid(np.log(threshold / (1 - threshold)) / temperature))


def _cross_fitted(
    n: int, fit: Callable[[Whole], float], measure: Callable[[Floats], tuple[float, float]]
) -> dict[str, Any]:
    """`temperature` and `calibration` of an output; nothing where there are too few items.

    Args:
        n: Number of items.
        fit: The temperature for some of them.
        measure: Calibration error and negative log-likelihood, with a temperature for each item.
    """
    if n < LEAST_ITEMS:
        return {}
    halves = _halves(n)
    temperatures = np.empty(n)
    for first, second in (halves, halves[::-1]):
        temperatures[second] = fit(first)
    before, after = measure(np.ones(n)), measure(temperatures)
    if not after[1] < before[1]:
        return {"calibration": Calibration(*_pairs(before, before), n)}
    temperature = float(f"{fit(np.arange(n)):.6g}")
    return {"temperature": temperature, "calibration": Calibration(*_pairs(before, after), n)}


def _pairs(before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float, float, float]:
    error, nll = ((round(a, 6), round(b, 6)) for a, b in zip(before, after, strict=True))
    return *error, *nll


def _halves(n: int) -> tuple[Whole, Whole]:
    order = np.random.default_rng(0).permutation(n)
    return order[: n // 2], order[n // 2 :]


def _category_temperature(scores: Floats, targets: Whole) -> float:
    """Targets are made a little uncertain, as if one more item had gone wrong (Platt, "Probabilistic outputs
    for support vector machines", 1999, section 2.2): a model that made no mistake here is not infallible."""
    n, classes = scores.shape
    doubt = 1 / (n + 2)
    wanted = np.full(scores.shape, doubt / max(1, classes - 1))
    wanted[np.arange(n), targets] = 1 - doubt

    def cost(temperature: float) -> float:
        return float(-(wanted * _log_softmax(scores / temperature)).sum() / n)

    return _smallest(cost)


def _labels_temperature(scores: Floats, hot: npt.NDArray[np.bool_]) -> float:
    positives, negatives = int(hot.sum()), int((~hot).sum())
    wanted = np.where(hot, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def cost(temperature: float) -> float:
        x = scores / temperature
        return float((np.logaddexp(0, x) - wanted * x).mean())

    return _smallest(cost)


def _smallest(cost: Callable[[float], float]) -> float:
    from scipy.optimize import minimize_scalar

    found: Any = minimize_scalar(
        lambda x: cost(float(np.exp(x))),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def _log_softmax(scores: Floats) -> Floats:
    shifted = scores - scores.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _softmax(scores: Floats) -> Floats:
    return np.exp(_log_softmax(scores))


def _sigmoid(scores: Any) -> Floats:
    return np.exp(-np.logaddexp(0, -np.asarray(scores, dtype=np.float64)))


def _nll(chances: Floats) -> float:
    return float(-np.log(np.maximum(chances, np.finfo(np.float64).tiny)).mean())


# ---- unsure ----


def choose_unsure(
    confidence: Floats, right: npt.NDArray[np.bool_], wanted_accuracy: float | None = None
) -> Unsure | None:
    """From which probability on an answer is relied upon.

    The lowest threshold is taken at which the answers that remain are right as often as wanted. By default
    that is half as many errors: 86 % right become 93 %. With fewer than 10 wrong answers nobody can say how
    sure the wrong ones are; the threshold is then how sure the least sure right answer was, so that what is
    unlike anything seen is still called unsure.

    Args:
        confidence: Probability of the answer given to each validation item, `(n,)`, calibrated.
        right: Whether it was right, `(n,)`.
        wanted_accuracy: In (0, 1]; None for the default.

    Returns:
        The threshold, and what it does to items that it was not chosen on; None where there are fewer than 50
        items, where no threshold reaches what is wanted, or where leaving the unsure ones out does not help.

    Example:
        >>> confidence = np.linspace(0.5, 0.99, 100)
        >>> found = choose_unsure(confidence, confidence > 0.7, 0.95)
        >>> round(found.threshold, 2), found.share, found.accuracy > 0.95
        (0.69, 0.38, True)
    """
    n = len(confidence)
    if n < LEAST_ITEMS:
        return None
    wrong = n - int(right.sum())
    by_rank = wanted_accuracy is None and wrong < LEAST_WRONG
    plain = 1 - wrong / n
    wanted = plain if by_rank else 1 - wrong / n / 2 if wanted_accuracy is None else wanted_accuracy

    def threshold(rows: Whole) -> float | None:
        sure, true = confidence[rows], right[rows]
        return float(sure[true].min()) * 0.999 if by_rank else _threshold(sure, true, wanted)

    kept = _kept_of_others(confidence, threshold)
    final = threshold(np.arange(n))
    if kept is None or final is None or not kept.any():
        return None
    accuracy = float(right[kept].mean())
    if final > 0 and accuracy < plain:  # it sorts out the wrong ones no better than chance
        return None
    share = round(1 - float(kept.mean()), 6)
    return Unsure(float(f"{final:.6g}"), share, round(accuracy, 6), round(wanted, 6), n)


def _kept_of_others(
    confidence: Floats, threshold: Callable[[Whole], float | None]
) -> npt.NDArray[np.bool_] | None:
    """Which answers are sure by a threshold that was chosen on the other half; None where there is none."""
    kept, halves = np.empty(len(confidence), dtype=bool), _halves(len(confidence))
    for first, second in (halves, halves[::-1]):
        found = threshold(first)
        if found is None:
            return None
        kept[second] = confidence[second] >= found
    return kept


def _threshold(confidence: Floats, right: npt.NDArray[np.bool_], wanted: float) -> float | None:
    """Between the last answer that may stay and the next: runtimes differ in the last digits."""
    order = np.argsort(-confidence, kind="stable")
    sure, true = confidence[order], right[order]
    shares = np.cumsum(true) / np.arange(1, len(sure) + 1)
    last = np.append(sure[:-1] > sure[1:], True)  # equally sure answers stay or go together
    enough = np.flatnonzero((shares >= wanted - 1e-12) & last & (np.arange(len(sure)) + 1 >= LEAST_WRONG))
    if not len(enough):
        return None
    k = int(enough[-1])
    return 0.0 if k == len(sure) - 1 else cast("float", (sure[k] + sure[k + 1]) / 2)
