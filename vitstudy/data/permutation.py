"""A random order of n things that is never stored: place -> thing, a keyed bijection computed place by place.

A balanced Feistel network on 2^2h >= n values with cycle walking (Black & Rogaway 2002, "Ciphers with arbitrary finite
domains"). Epochs of 10^7 images need no memory, and any place can be asked for first.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vitstudy.data.keyed import derive

ROUNDS = 6
BLOCK = 8192
"""Places that `stretch` computes at once: a batch costs a few microseconds then, not the overhead of a hundred array calls."""


def permute(seed: int, epoch: int, count: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Things (m,) at `places` (m,) of the order of one epoch; both count from 0 to `count` - 1."""
    half = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
    keys = [np.uint64(derive(seed, f"order/{epoch}", i)) for i in range(ROUNDS)]
    things = _feistel(places.astype(np.uint64), half, keys)
    outside = np.flatnonzero(things >= count)
    while len(outside):
        things[outside] = _feistel(things[outside], half, keys)
        outside = outside[things[outside] >= count]
    return things.astype(np.int64)


def stretch(seed: int, epoch: int, count: int, start: int, stop: int) -> NDArray[np.int64]:
    """Things at places `start` .. `stop` - 1 of one epoch, as `permute` gives them."""
    blocks = range(start // BLOCK, -(-stop // BLOCK))
    parts = [_block(seed, epoch, count, b)[max(start - b * BLOCK, 0) : stop - b * BLOCK] for b in blocks]
    return np.concatenate(parts)


@lru_cache(maxsize=4)
def _block(seed: int, epoch: int, count: int, number: int) -> NDArray[np.int64]:
    return permute(seed, epoch, count, np.arange(number * BLOCK, min((number + 1) * BLOCK, count)))


def _feistel(values: NDArray[np.uint64], half: int, keys: list[np.uint64]) -> NDArray[np.uint64]:
    mask, shift = np.uint64((1 << half) - 1), np.uint64(half)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (_hash(right ^ key) & mask)
    return (left << shift) | right


def _hash(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser; not the compiled one of `splitmix`: stored images need no numba, which costs 0.3 s to import."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
