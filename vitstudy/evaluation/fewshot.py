"""k-shot linear evaluation: ridge regression of a frozen representation onto {-1, +1}^K, in closed form.

Constants as in big_vision evaluators/fewshot_lsr.py (the paper prints none): features standardised by the shots' mean and
std + 1e-5, a constant feature 100 as nearly unregularised bias, targets 2 onehot - 1, l2 = 2^10. float64 throughout.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitstudy.data.sources import DataError

Array = NDArray[np.float64]


def draw_shots(labels: NDArray[np.int64], shots: int, draw: int) -> NDArray[np.int64]:
    """Indices of `shots` random images of each class; `draw` numbers the repetition. Raises DataError when a class has fewer."""
    rng = np.random.default_rng([draw, shots])
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < shots:
            raise DataError(f"{shots}-shot evaluation: class {label} has only {len(members)} images")
        chosen.append(rng.permutation(members)[:shots])
    return np.concatenate(chosen)


def ridge(x: Array, y: Array, l2: float) -> Array:
    """argmin_w |x w - y|^2 + l2 |w|^2: x (n, d), y (n, k) -> w (d, k); the smaller of the two normal equations is solved."""
    n, d = x.shape
    if n < d:
        return np.asarray(x.T @ np.linalg.solve(x @ x.T + l2 * np.eye(n), y), np.float64)
    return np.asarray(np.linalg.solve(x.T @ x + l2 * np.eye(d), x.T @ y), np.float64)


def accuracy(
    train: Array, train_labels: NDArray[np.int64], test: Array, test_labels: NDArray[np.int64], l2: float
) -> float:
    """Top-1 on the test features (a fraction) of the ridge classifier fitted on the train features."""
    mean, std = train.mean(0), train.std(0) + 1e-5

    def prepare(x: Array) -> Array:
        return np.concatenate([(x - mean) / std, np.full((len(x), 1), 100.0)], axis=1)

    classes = np.unique(train_labels)
    targets = np.where(train_labels[:, None] == classes[None], 1.0, -1.0)
    predicted = classes[(prepare(test) @ ridge(prepare(train), targets, l2)).argmax(1)]
    return int((predicted == test_labels).sum()) / len(test_labels)
