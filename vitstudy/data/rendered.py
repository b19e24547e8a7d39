"""Fractal training images by place: drawn when asked for, and kept where they fit, so that none is drawn twice.

Sets of up to `KEEP_BYTES` that are seen more than once fill up on the device as training visits them; larger ones need no
memory beyond the batch (10^7 images). With an accelerator the next batch is drawn by CPU threads while the device computes;
on a CPU, whose cores all train, overlapping would win nothing. None of this changes a pixel.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitstudy.data.fractals import labels_of, train_images
from vitstudy.study.spec import FractalSpec

KEEP_BYTES = 256 << 20
PART = 32
"""Images that are worth a thread of their own: half a millisecond or more of drawing."""


class Rendered:
    """Fractals of `spec`, `size` pixels wide. `images_seen`: how many images the run will ask for (None: unknown, many)."""

    def __init__(self, spec: FractalSpec, size: int, device: str = "cpu", images_seen: int | None = None) -> None:
        self.spec, self.size, self.device = spec, size, device
        self._next: tuple[NDArray[np.int64], list[Future[NDArray[np.uint8]]]] | None = None
        self._kept: Tensor | None = None
        shape = (len(self), spec.channels, size, size)
        if np.prod(shape, dtype=np.int64) <= KEEP_BYTES and (images_seen is None or images_seen > len(self)):
            self._kept = torch.zeros(shape, dtype=torch.uint8, device=device)  # on a CPU untouched pages take no memory
            self._known = np.zeros(len(self), bool)

    def __len__(self) -> int:
        return self.spec.classes * self.spec.instances

    def get(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """int64 (B,) -> pixels uint8 (B, c, h, w) and labels int64 (B,) on the device, ids int64 (B,) on the CPU."""
        labels = torch.from_numpy(labels_of(self.spec, places.numpy())).to(self.device)
        missing = self._missing(places)
        drawn = torch.from_numpy(self._drawn(missing)).to(self.device) if len(missing) else None
        if self._kept is None:
            assert drawn is not None
            return drawn, labels, places
        if drawn is not None:
            self._kept[torch.from_numpy(missing).to(self.device)] = drawn
            self._known[missing] = True
        return self._kept[places.to(self.device)], labels, places

    def expect(self, places: Tensor) -> None:
        """These are asked for next: with an accelerator, start on them in the background."""
        missing = self._missing(places)
        if self.device != "cpu" and len(missing):
            self._next = (missing, self._start(missing))

    def _missing(self, places: Tensor) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = places.numpy()
        return ids if self._kept is None else np.unique(ids[~self._known[ids]])  # an epoch may end within a batch

    def _drawn(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        begun, self._next = self._next, None
        if begun is not None and np.array_equal(begun[0], ids):
            return np.concatenate([part.result() for part in begun[1]])
        if torch.get_num_threads() == 1 or len(ids) < 2 * PART:  # loader workers always have one thread
            return train_images(self.spec, self.size, ids)
        return np.concatenate([part.result() for part in self._start(ids)])

    def _start(self, ids: NDArray[np.int64]) -> list[Future[NDArray[np.uint8]]]:
        parts = max(1, min(torch.get_num_threads(), len(ids) // PART))
        pool = _threads(torch.get_num_threads())
        return [pool.submit(train_images, self.spec, self.size, part) for part in np.array_split(ids, parts)]


@lru_cache(maxsize=1)
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="fractals")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a forked process inherits the pool, but not its threads
