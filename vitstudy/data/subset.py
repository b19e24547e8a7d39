"""Which images are trained on: `minival` held out of train, and nested, class-balanced, seeded subsets of the rest.

An image's place in its class is the rank of hash(purpose, content), so the manifests do not depend on file order or machine,
and a smaller subset is always part of a larger one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vitstudy.data.images import DataError, ImageSet
from vitstudy.study.spec import DataSpec


@dataclass(frozen=True)
class Split:
    """Indices into the train part of a source; disjoint."""

    train: NDArray[np.int64]
    minival: NDArray[np.int64]

    def manifest_sha256(self) -> str:
        """One hash for both lists: recorded with every run."""
        return hashlib.sha256(self.train.tobytes() + b"|" + self.minival.tobytes()).hexdigest()


@lru_cache(maxsize=4)
def content_rank(images: ImageSet, purpose: str) -> NDArray[np.int64]:
    """Indices (n,) in the order of hash(purpose, content, label); equal images are ordered by their index.

    Content: the pixels of a set in memory, the SHA-256 of a file.
    """
    salt = purpose.encode()
    digests = [
        hashlib.blake2b(content + int(label).to_bytes(4, "little"), digest_size=8, key=salt).digest()
        for content, label in zip(images.contents(), images.labels, strict=True)
    ]
    rank = np.argsort(np.frombuffer(b"".join(digests), ">u8"), kind="stable")
    rank.flags.writeable = False  # kept for the next call
    return rank


def interleave_classes(order: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """`order` rearranged so that every prefix is as class-balanced as the data allow: one of each class in turn."""
    ordered = labels[order]
    place = np.empty(len(order), np.int64)
    for label in np.unique(ordered):
        members = np.flatnonzero(ordered == label)
        place[members] = np.arange(len(members))
    return order[np.lexsort((ordered, place))]


def split(images: ImageSet, spec: DataSpec) -> Split:
    """Hold out `minival_size` images, then take the first `train_size` of the rest. Raises DataError when too few are left."""
    order = interleave_classes(content_rank(images, "vitstudy-split-1"), images.labels)
    rest, minival = order[: len(order) - spec.minival_size], order[len(order) - spec.minival_size :]
    wanted = len(rest) if spec.train_size is None else spec.train_size
    if len(minival) < spec.minival_size or wanted > len(rest) or wanted == 0:
        raise DataError(
            f"data.train_size {wanted} and data.minival_size {spec.minival_size} do not fit into "
            f"the {len(images)} train images of '{spec.source}'"
        )
    return Split(train=rest[:wanted], minival=minival)
