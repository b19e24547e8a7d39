"""Images in files: what a file's bytes show, and a set that decodes them when they are asked for.

Every image becomes 8-bit RGB: grey is repeated, palettes, CMYK and other colour spaces are converted, transparency is dropped,
16 bits are scaled to 8. EXIF rotation is not applied, as in torchvision and in the released code. Each of these
is noted in the manifest. For the network the whole image is resized to a square, as the released code evaluates
(vit_jax/input_pipeline.py); training crops are cut from that square, not from the full-size picture: a simplification of ours.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vitstudy.data.images import DataError

MIN_SIDE = 8
"""Pixels: nothing smaller is an image of something."""
EXIF_ORIENTATION = 0x0112


class BadImage(Exception):
    """A file that is no usable image; says why."""


def decode(content: bytes) -> tuple[Image.Image, list[str]]:
    """A file's bytes -> the picture in mode RGB at its own size, and notes on what was converted. Raises BadImage."""
    if not content:
        raise BadImage("empty file (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which is not used
            image = Image.open(io.BytesIO(content))
            image.load()
            notes = [*_rotation(image), *_depth(image, content)]
            picture, note = _rgb(image)
    except UnidentifiedImageError as error:
        raise BadImage("no image format that can be read") from error
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise BadImage(f"cannot be decoded: {error or type(error).__name__}") from error
    if min(picture.size) < MIN_SIDE:
        raise BadImage(f"too small: {picture.width} x {picture.height} pixels, at least {MIN_SIDE} x {MIN_SIDE} needed")
    return picture, notes + ([note] if note else [])


def _rotation(image: Image.Image) -> list[str]:
    try:
        turned = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception as error:  # metadata alone never makes a picture unusable
        return [f"EXIF data damaged, not used ({type(error).__name__})"]
    return [] if turned in (0, 1) else [f"EXIF orientation {turned} not applied"]


def _depth(image: Image.Image, content: bytes) -> list[str]:
    """Pillow reads 16-bit colour PNG as 8-bit by itself: the header's 25th byte is the bit depth."""
    deep = image.format == "PNG" and content[24] == 16 and image.mode in ("RGB", "RGBA", "LA")
    return ["16-bit, scaled to 8-bit"] if deep else []


def _rgb(image: Image.Image) -> tuple[Image.Image, str]:
    if image.mode in ("RGB", "L"):
        return image.convert("RGB"), ""
    if image.mode.startswith("I"):
        values = np.asarray(image, np.float64)
        if values.min() < 0 or values.max() > 65535:
            raise BadImage("cannot be decoded: 32-bit values, 8 or 16 bits needed")
        scaled = np.round(values / 257).astype(np.uint8)
        return Image.fromarray(scaled).convert("RGB"), "16-bit, scaled to 8-bit"
    if image.mode == "F":
        raise BadImage("cannot be decoded: floating-point values, 8 or 16 bits needed")
    if image.mode in ("P", "PA"):
        return image.convert("RGBA").convert("RGB"), "palette, converted to RGB"
    change = "transparency dropped" if image.mode in ("RGBA", "LA", "La", "RGBa") else "converted to RGB"
    return image.convert("RGB"), f"{image.mode}, {change}"


def planes(picture: Image.Image) -> NDArray[np.uint8]:
    """uint8 (3, height, width)."""
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


@dataclass(frozen=True, eq=False)
class Files:
    """Checked image files. `paths`, `sha256`: str (n,) as objects; `native`: int32 (n, 2), height and width; `size`: the side
    of the square that `pixels_at` gives.
    """

    base: Path
    paths: NDArray[np.object_]
    labels: NDArray[np.int64]
    sha256: NDArray[np.object_]
    hashes: NDArray[np.uint64] = field(repr=False)
    native: NDArray[np.int32] = field(repr=False)
    size: int = 224

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, ids: NDArray[np.int64]) -> Files:
        """The files at `ids`."""
        return Files(
            self.base,
            self.paths[ids],
            self.labels[ids],
            self.sha256[ids],
            self.hashes[ids],
            self.native[ids],
            self.size,
        )

    def pixels_at(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 (len(ids), 3, size, size), decoded now. Raises DataError naming a file that is gone or has changed."""
        pixels = np.empty((len(ids), 3, self.size, self.size), np.uint8)
        for place, index in enumerate(ids):
            pixels[place] = self._square(int(index))
        return pixels

    def _square(self, index: int) -> NDArray[np.uint8]:
        path = self.base / self.paths[index]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path}: {error.strerror}; the manifest lists it: run vitstudy data check again"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.sha256[index]:
            raise DataError(f"{path}: the file has changed since it was checked: run vitstudy data check again")
        try:
            picture, _ = decode(content)
        except BadImage as error:
            raise DataError(f"{path}: {error}; run vitstudy data check again") from error
        return planes(picture.resize((self.size, self.size), Image.Resampling.BILINEAR))

    def contents(self) -> Iterator[bytes]:
        """The SHA-256 of each file."""
        return (bytes.fromhex(sha256) for sha256 in self.sha256)

    def pixel_hashes(self) -> NDArray[np.uint64]:
        """As the check found them, at the files' own sizes."""
        return self.hashes

    def sizes(self) -> set[tuple[int, int]]:
        """(height, width) of the files."""
        return {(int(h), int(w)) for h, w in np.unique(self.native, axis=0)}
