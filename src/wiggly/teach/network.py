"""A network of two layers by hand: forward, loss, gradients, step; small enough to see every number of it.

In: small pictures and their labels. Out: everything a training step computes. The page computes the same
(`web/widgets/src/core/network.ts`). Read next: `training_step.py` and `rates.py`, which train it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "Gradients",
    "Network",
    "Pass",
    "backward",
    "forward",
    "sgd",
    "toy_network",
    "toy_pictures",
    "uniform",
]

SIDE = 4  # pixels of a picture
KINDS = ("across", "upright", "slanted")  # the bars on them
# Of the generator of Park and Miller (Communications of the ACM 31, 1988): a product of two such numbers is
# exact in every language that the page and Python share.
FACTOR, MODULUS = 16807, 2**31 - 1


@dataclass(frozen=True)
class Network:
    """Weights of two linear layers with a ReLU between them.

    Attributes:
        first: `(pixels, hidden)`.
        first_bias: `(hidden,)`.
        second: `(hidden, classes)`.
        second_bias: `(classes,)`.
    """

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray


@dataclass(frozen=True)
class Pass:
    """What the network computed for a batch.

    Attributes:
        sums: Outputs of the first layer, `(n, hidden)`.
        hidden: After the ReLU.
        logits: Outputs of the second layer, `(n, classes)`.
        probabilities: Their softmax.
        losses: Of each item, `(n,)`.
    """

    sums: np.ndarray
    hidden: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray

    @property
    def loss(self) -> float:
        """The mean over the batch."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class Gradients:
    """How much the loss changes per unit of each number.

    Attributes:
        weights: Of all weights, in the form of the network.
        sums: Of the first layer's outputs.
        hidden: Of the ReLU's.
        logits: Of the second layer's.
    """

    weights: Network
    sums: np.ndarray
    hidden: np.ndarray
    logits: np.ndarray


def forward(network: Network, x: np.ndarray, labels: np.ndarray) -> Pass:
    """Inputs times weights, ReLU, times weights, softmax, `-ln` of the true class's probability.

    Args:
        network: The weights.
        x: Pixels, `(n, pixels)`.
        labels: True classes, `(n,)`.
    """
    sums = x @ network.first + network.first_bias
    hidden = np.maximum(sums, 0)
    logits = hidden @ network.second + network.second_bias
    shifted = logits - logits.max(1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(x)), labels]
    return Pass(sums, hidden, logits, probabilities, losses)


def backward(network: Network, x: np.ndarray, labels: np.ndarray, made: Pass) -> Gradients:
    """The chain rule, from the loss back to the first weights.

    Args:
        network: The weights.
        x: Pixels, `(n, pixels)`.
        labels: True classes, `(n,)`.
        made: What `forward` computed of them.
    """
    n = len(x)
    by_logits = (made.probabilities - np.eye(len(network.second_bias))[labels]) / n
    by_hidden = by_logits @ network.second.T
    by_sums = by_hidden * (made.sums > 0)
    weights = Network(x.T @ by_sums, by_sums.sum(0), made.hidden.T @ by_logits, by_logits.sum(0))
    return Gradients(weights, by_sums, by_hidden, by_logits)


def sgd(network: Network, gradient: Network, lr: float) -> Network:
    """One step: every weight minus learning rate times its gradient.

    Example:
        >>> ones = Network(*(np.ones(1) for _ in range(4)))
        >>> sgd(ones, ones, lr=0.1).first
        array([0.9])
    """
    pairs = zip(vars(network).values(), vars(gradient).values(), strict=True)
    return Network(*(weight - lr * slope for weight, slope in pairs))


def uniform(n: int, seed: int) -> np.ndarray:
    """Numbers from 0 to 1 that every language draws alike.

    Example:
        >>> uniform(2, seed=1).round(6).tolist()
        [8e-06, 0.131538]
    """
    drawn: list[float] = []
    for _ in range(n):
        seed = seed * FACTOR % MODULUS
        drawn.append(seed / MODULUS)
    return np.array(drawn)


def toy_network(hidden: int = 4, seed: int = 21) -> Network:
    """Weights as torch's linear layers begin: even between ±1/√(inputs), here with biases of zero."""
    pixels, classes = SIDE * SIDE, len(KINDS)
    first, second = np.split(2 * uniform((pixels + classes) * hidden, seed) - 1, [pixels * hidden])
    return Network(
        first.reshape(pixels, hidden) / np.sqrt(pixels),
        np.zeros(hidden),
        second.reshape(hidden, classes) / np.sqrt(hidden),
        np.zeros(classes),
    )


def toy_pictures(n: int, noise: float = 0.3, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Small noisy pictures of a bar that lies across, stands upright, or is slanted; the first two are in one
    of two places.

    Args:
        n: How many; the kinds take turns.
        noise: What is added to a pixel at most.
        seed: Of the draws.

    Returns:
        Pixels `(n, 16)` and labels `(n,)`.
    """
    drawn = uniform(n * (1 + SIDE * SIDE), seed).reshape(n, -1)
    labels = np.arange(n) % len(KINDS)
    pictures = noise * drawn[:, 1:].reshape(n, SIDE, SIDE)
    diagonal = np.arange(SIDE)
    for picture, label, place in zip(pictures, labels, 1 + (2 * drawn[:, 0]).astype(int), strict=True):
        rows, columns = [(place, diagonal), (diagonal, place), (diagonal, diagonal)][label]
        picture[rows, columns] += 1 - noise
    return pictures.reshape(n, -1), labels
