"""Labelled fractal images without limit, after Anderson & Farrell, "Improving Fractal Pre-Training" (WACV 2022, arXiv 2110.03091).

A class is a system of affine maps; an instance is one map scaled a little, a window, flips, colours and a background. Each
image is a pure function of (seed, class, instance): nothing is stored, any order gives the same pixels. Ours: 2,500 points
at small sizes, maps chosen by 256ths; a window of 0.8 to 1.25 (paper: 0.5 to 2), so that no image is empty; value noise on a
4 x 4 grid in the place of diamond-square plasma; one fractal a picture, no blur.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vitstudy.data.fractal_pixels import draw_images
from vitstudy.data.fractal_systems import systems
from vitstudy.data.keyed import derive
from vitstudy.data.sources import DataError, Images
from vitstudy.study.spec import FractalSpec

HELD_OUT, TEST = 1 << 30, 1 << 31
"""First instance numbers of minival and of the test set: never those of training."""


def render(spec: FractalSpec, size: int, classes: NDArray[np.int64], instances: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images (n, channels, size, size) of the given classes and instances, side `size` pixels."""
    world = systems(spec.seed, spec.classes)
    labels, numbers = np.ascontiguousarray(classes, np.int64), np.ascontiguousarray(instances, np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < spec.classes:  # compiled code would read past the end
        raise ValueError(f"classes {labels.min()} to {labels.max()} of a world of {spec.classes}")
    out = np.empty((len(labels), spec.channels, size, size), np.uint8)
    key = np.uint64(derive(spec.seed, "instance"))
    draw_images(world.maps, world.count, world.choice, labels, numbers, key, spec.points, _brightness(spec.points), out)
    return out


@lru_cache(maxsize=4)
def _brightness(points: int) -> NDArray[np.float64]:
    """(points + 1,): log(1 + hits), cut to float32, which hides the last bit in which machines may differ."""
    return np.log1p(np.arange(points + 1)).astype(np.float32).astype(np.float64)


def labels_of(spec: FractalSpec, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Image number -> class: classes take turns, so every prefix of the numbers is balanced and nested."""
    return ids % spec.classes


def train_images(spec: FractalSpec, size: int, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Training images number `ids`: class = number mod classes, instance = number div classes."""
    return render(spec, size, labels_of(spec, ids), ids // spec.classes)


def held_out(spec: FractalSpec, size: int, count: int, first: int) -> Images:
    """The first `count` images with instance numbers from `first` on (`HELD_OUT` or `TEST`).

    Raises DataError when training has so many instances that its numbers reach those.
    """
    if spec.instances > HELD_OUT:
        raise DataError(f"data.fractals.instances {spec.instances} is too large; allowed: up to {HELD_OUT}")
    ids = np.arange(count)
    labels = labels_of(spec, ids)
    return Images(render(spec, size, labels, first + ids // spec.classes), labels)
