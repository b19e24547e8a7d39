"""Labelled image sets as uint8 arrays. Those of `SOURCES` with `embedded=True` come with the package or a dependency.

Fashion-MNIST: Xiao, Rasul, Vollgraf 2017 (arXiv 1708.07747), MIT; the four original IDX files, checked by SHA-256.
Digits: scikit-learn's copy of the UCI 8 x 8 handwritten digits (BSD), scaled to 0..255.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitstudy.errors import UserError

EMBEDDED = Path(__file__).parent / "embedded"

FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}


class DataError(UserError):
    """A data set that is missing, damaged or not what the spec needs; the message names the file and what to do."""


@dataclass(frozen=True)
class Images:
    """`pixels`: uint8 (n, channels, height, width); `labels`: int64 (n,), 0 .. num_classes - 1."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, ids: NDArray[np.int64]) -> Images:
        """The images at `ids`, copied."""
        return Images(self.pixels[ids], self.labels[ids])


@dataclass(frozen=True)
class Source:
    """A data set: its official train and test parts."""

    num_classes: int
    channels: int
    train_images: int
    test_images: int
    read: Callable[[], tuple[Images, Images]] | None
    """None: the data are not part of the package (the set can be planned, not run)."""


def read_checked(path: Path, sha256: str) -> bytes:
    """The file's bytes. Raises DataError when it is missing or its SHA-256 differs."""
    if not path.is_file():
        raise DataError(f"{path}: file not found; reinstall vitstudy to restore it")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{path}: SHA-256 is {found}, expected {sha256}; the file is damaged, reinstall vitstudy")
    return content


def parse_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """An IDX file (the MNIST format): magic 0 0 8 ndim, big-endian sizes, bytes."""
    stream = io.BytesIO(gzip.decompress(content))
    zeros, kind, ndim = struct.unpack(">HBB", stream.read(4))
    if (zeros, kind) != (0, 8):
        raise DataError(f"{name}: not an IDX file of unsigned bytes")
    shape = struct.unpack(f">{ndim}I", stream.read(4 * ndim))
    values = np.frombuffer(stream.read(), np.uint8)
    if values.size != np.prod(shape):
        raise DataError(f"{name}: {values.size} bytes for shape {shape}")
    return values.reshape(shape)


def _fashion_mnist(folder: Path = EMBEDDED / "fashion-mnist") -> tuple[Images, Images]:
    def part(prefix: str) -> Images:
        images, labels = (f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz")
        pixels = parse_idx(read_checked(folder / images, FASHION_MNIST_SHA256[images]), images)
        classes = parse_idx(read_checked(folder / labels, FASHION_MNIST_SHA256[labels]), labels)
        return Images(pixels[:, None], classes.astype(np.int64))

    return part("train"), part("t10k")


def _digits() -> tuple[Images, Images]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = digits.target.astype(np.int64)
    cut = 1297  # ours: the set has no official split; the last 500 images are the test part
    return Images(pixels[:cut], labels[:cut]), Images(pixels[cut:], labels[cut:])


SOURCES: dict[str, Source] = {
    "fashion-mnist": Source(10, 1, 60_000, 10_000, _fashion_mnist),
    "digits": Source(10, 1, 1_297, 500, _digits),
    "imagenet": Source(1000, 3, 1_281_167, 50_000, None),
    "imagenet-21k": Source(21_843, 3, 14_197_122, 50_000, None),
}


@lru_cache(maxsize=2)
def load(name: str) -> tuple[Images, Images]:
    """(train, test) of a source. Raises DataError for an unknown name or data that are not at hand."""
    if name not in SOURCES:
        raise DataError(f"data.source '{name}' is unknown; allowed: {', '.join(SOURCES)}")
    read = SOURCES[name].read
    if read is None:
        usable = ", ".join(key for key, source in SOURCES.items() if source.read)
        raise DataError(
            f"data.source '{name}' does not come with vitstudy, so its runs can be planned, not run; usable: {usable}"
        )
    return read()
