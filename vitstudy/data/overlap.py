"""Which images of one set are in another: compared by their pixels at their own sizes, whatever their labels and file formats.

It finds exact copies (also a PNG of an image in an array, also grey stored as RGB). It does not find a copy that was resized or
compressed anew: sets without a size in common are "not comparable", None, never 0.
"""

from __future__ import annotations

import numpy as np

from vitstudy.data.images import ImageSet


def overlap(train: ImageSet, test: ImageSet) -> int | None:
    """How many images of `test` are also in `train`; None: not comparable."""
    if not train.sizes() & test.sizes():
        return None
    return int(np.isin(test.pixel_hashes(), train.pixel_hashes()).sum())


def repeats(images: ImageSet) -> int:
    """How many images are copies of an earlier one in the same set."""
    return len(images) - len(np.unique(images.pixel_hashes()))
