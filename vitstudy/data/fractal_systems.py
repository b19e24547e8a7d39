"""The classes of the fractal images: systems of 2 to 4 affine maps, drawn after Anderson & Farrell (WACV 2022), section 3.

Singular values obey their sigma-factor rule, so a system contracts by construction and fills enough of the picture: no search.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vitstudy.data.keyed import derive
from vitstudy.data.splitmix import compiled, uniform

MAPS = 4
CHOICES = 256
LARGEST = 1 - 1e-6


@dataclass(frozen=True)
class Systems:
    """`maps`: (classes, 4, 6) rows a b e c d f of (x, y) -> (a x + b y + e, c x + d y + f), those past `count` are 0.

    `choice`: uint8 (classes, 256), which map each of 256 equally likely draws applies: shares in proportion to |det|.
    """

    maps: NDArray[np.float64]
    count: NDArray[np.int64]
    choice: NDArray[np.uint8]


@lru_cache(maxsize=4)
def systems(seed: int, classes: int) -> Systems:
    """The first `classes` systems of a world. More classes do not change the ones before. About 6 us each."""
    maps, count = np.zeros((classes, MAPS, 6)), np.zeros(classes, np.int64)
    choice = np.zeros((classes, CHOICES), np.uint8)
    for index in range(classes):
        state = np.array([derive(seed, "fractal", index)], np.uint64)
        count[index] = draw(state, maps[index], choice[index])
    return Systems(maps, count, choice)


@compiled
def draw(state: NDArray[np.uint64], maps: NDArray[np.float64], choice: NDArray[np.uint8]) -> int:
    """Fill `maps` (4, 6) and `choice` (256,); returns the number of maps. A = U diag(s1, s2) V, shift in [-1, 1]."""
    n = 2 + int(uniform(state, 0.0, MAPS - 1.0))
    values, area, total = np.empty((n, 2)), np.empty(n), 0.0
    singular_values(state, values)
    for i in range(n):
        s1, s2 = values[i, 0], values[i, 1]
        u, v = uniform(state, -np.pi, np.pi), uniform(state, -np.pi, np.pi)
        mirror_x = 1.0 if uniform(state, 0.0, 1.0) < 0.5 else -1.0
        mirror_y = 1.0 if uniform(state, 0.0, 1.0) < 0.5 else -1.0
        cu, su, cv, sv = np.cos(u), np.sin(u), np.cos(v), np.sin(v)
        maps[i, 0] = (cu * s1 * cv - su * s2 * sv) * mirror_x
        maps[i, 1] = (-cu * s1 * sv - su * s2 * cv) * mirror_y
        maps[i, 3] = (su * s1 * cv + cu * s2 * sv) * mirror_x
        maps[i, 4] = (-su * s1 * sv + cu * s2 * cv) * mirror_y
        maps[i, 2], maps[i, 5] = uniform(state, -1.0, 1.0), uniform(state, -1.0, 1.0)
        area[i] = s1 * s2
        total += area[i]
        for k in range(6):  # cos and sin may differ in the last bit between machines: float32 hides that
            maps[i, k] = float(np.float32(maps[i, k]))
    reached, k = area[0], 0
    for j in range(CHOICES):
        while k < n - 1 and (j + 0.5) * total >= reached * CHOICES:
            k += 1
            reached += area[k]
        choice[j] = k
    return n


@compiled
def singular_values(state: NDArray[np.uint64], values: NDArray[np.float64]) -> None:
    """Fill `values` (n, 2) so that 1 > s1 >= s2 > 0; the sum of s1 + 2 s2 is uniform in [(5 + n) / 2, (6 + n) / 2].

    Drawn one by one, each from the interval that keeps that sum within reach; the last s1 makes it exact.
    """
    n = len(values)
    total = uniform(state, (5 + n) / 2, (6 + n) / 2)
    for i in range(n - 1):
        rest = 3.0 * (n - i - 1)  # the most that the maps after this one can add
        s1 = uniform(state, max(0.0, (total - rest) / 3), min(1.0, total))
        s2 = uniform(state, max(0.0, (total - rest - s1) / 2), min(s1, (total - s1) / 2))
        values[i, 0], values[i, 1] = min(s1, LARGEST), min(s2, LARGEST)
        total -= s1 + 2 * s2
    s2 = uniform(state, max(0.0, (total - 1) / 2), total / 3)
    values[n - 1, 0], values[n - 1, 1] = min(total - 2 * s2, LARGEST), min(s2, LARGEST)
