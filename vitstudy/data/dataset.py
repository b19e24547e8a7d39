"""The images of one run: what it trains on, its minival, its test set; and the sets that few-shot evaluation uses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitstudy.data.files import Files
from vitstudy.data.overlap import overlap as overlap
from vitstudy.data.sources import ImageSet, load
from vitstudy.data.subset import Split, split
from vitstudy.study.spec import DataSpec, FractalSpec

RESIDENT_BYTES = 2 << 30
"""Training images of at most this many bytes, decoded, are kept on the device."""


class Pool(Protocol):
    """Training images by place, 0 .. len - 1."""

    def __len__(self) -> int: ...

    def get(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """int64 (B,) -> pixels uint8 (B, c, h, w) and labels int64 (B,) on the device, ids int64 (B,) on the CPU."""

    def expect(self, places: Tensor) -> None:
        """These are asked for next: a pool that makes its images may begin. Changes no image."""


class Resident:
    """A small set: uint8 on the device for as long as the run lasts. Files are decoded once, here."""

    def __init__(self, images: ImageSet, ids: NDArray[np.int64], device: str = "cpu") -> None:
        self.ids = torch.from_numpy(np.array(ids))
        self.pixels = torch.from_numpy(np.ascontiguousarray(images.pixels_at(ids))).to(device)
        self.labels = torch.from_numpy(images.labels[ids]).to(device)

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        here = places.to(self.pixels.device)
        return self.pixels[here], self.labels[here], self.ids[places]

    def expect(self, places: Tensor) -> None:
        pass


class Decoded:
    """Many image files, decoded when they are asked for (by loader workers, if the run has some)."""

    def __init__(self, files: Files, ids: NDArray[np.int64], device: str = "cpu") -> None:
        self.files, self.ids, self.device = files, np.array(ids), device

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ids = self.ids[places.numpy()]
        pixels, labels = torch.from_numpy(self.files.pixels_at(ids)), torch.from_numpy(self.files.labels[ids])
        return pixels.to(self.device), labels.to(self.device), torch.from_numpy(ids)

    def expect(self, places: Tensor) -> None:
        pass


@dataclass(frozen=True)
class RunData:
    """`train`, `minival` and, opened only when called, `test`. `manifest_sha256`: which images they are."""

    train: Pool
    minival: ImageSet
    test: Callable[[], ImageSet]
    manifest_sha256: str


def open_data(spec: DataSpec, device: str = "cpu", images_seen: int | None = None) -> RunData:
    """The data of a run that trains on `images_seen` images in all (None: unknown, many).

    Raises DataError when they are not at hand, damaged or too few.
    """
    if spec.fractals is not None:
        return _fractals(spec, spec.fractals, device, images_seen)
    images = load(spec.source, spec.image_size)[0]
    chosen = split(images, spec)
    return RunData(
        train=_pool(images, chosen.train, device),
        minival=images.take(chosen.minival),
        test=lambda: test_set(spec),
        manifest_sha256=_manifest_sha256(images, chosen),
    )


def _pool(images: ImageSet, ids: NDArray[np.int64], device: str) -> Pool:
    if isinstance(images, Files) and len(ids) * 3 * images.size**2 > RESIDENT_BYTES:
        return Decoded(images, ids, device)
    return Resident(images, ids, device)


def _manifest_sha256(images: ImageSet, chosen: Split) -> str:
    """The indices say which images of a named set; whose files may differ from user to user, their contents too."""
    if not isinstance(images, Files):
        return chosen.manifest_sha256()
    parts = (b"".join(images.take(ids).contents()) for ids in (chosen.train, chosen.minival))
    return hashlib.sha256(b"|".join(parts)).hexdigest()


def _fractals(spec: DataSpec, fractals: FractalSpec, device: str, images_seen: int | None) -> RunData:
    # here, not above: numba takes 0.3 s to import, and stored images do without
    from vitstudy.data.fractals import HELD_OUT, TEST, held_out
    from vitstudy.data.rendered import Rendered

    identity = f"{fractals.model_dump_json()} {spec.image_size} {spec.minival_size}"
    return RunData(
        train=Rendered(fractals, spec.image_size, device, images_seen),
        minival=held_out(fractals, spec.image_size, spec.minival_size, HELD_OUT),
        test=lambda: held_out(fractals, spec.image_size, spec.test_size or 0, TEST),
        manifest_sha256=hashlib.sha256(identity.encode()).hexdigest(),
    )


def test_set(spec: DataSpec) -> ImageSet:
    """The test part of a stored source, cut to `test_size`."""
    images = load(spec.source, spec.image_size)[1]
    return images if spec.test_size is None else images.take(np.arange(min(spec.test_size, len(images))))


def trained_on(spec: DataSpec) -> ImageSet:
    """The images of a stored source that a run with these data trains on; few-shot evaluation on its own source draws from them."""
    images = load(spec.source, spec.image_size)[0]
    return images.take(split(images, spec).train)
