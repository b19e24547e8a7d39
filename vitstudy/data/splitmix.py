"""SplitMix64 (Steele, Lea, Flood 2014) for compiled code: random numbers from a 64-bit state, the same on every machine.

`compiled` is how this package uses numba: without fastmath, so that floats are neither reordered nor fused. Compiled callers
are kept on disk and do not notice a change of this file (numba looks at their own file only): touch them too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """`function`, compiled at its first call, without the interpreter lock; kept on disk where some folder takes it."""
    try:
        return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # numba found no writable folder, neither beside the source nor in the user's cache
        return cast(F, njit(nogil=True, error_model="numpy")(function))


@compiled
def mix(x: np.uint64) -> np.uint64:
    """The finaliser: a bijection of 64 bits that spreads every bit over all."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def bits(state: NDArray[np.uint64]) -> np.uint64:
    """The next 64 random bits; `state` (1,) moves on."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    return mix(state[0])


@compiled
def uniform(state: NDArray[np.uint64], low: float, high: float) -> float:
    """The next number of [low, high): 53 random bits."""
    return low + (high - low) * (float(bits(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0))
