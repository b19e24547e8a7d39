"""The endless stream of training batches: batch t is a pure function of (seed, t), wherever one starts.

Small sets stay on the device as uint8; a batch is gathered and augmented there. Epoch e is the permutation of (seed, e);
batch t covers places t*B .. (t+1)*B of the epochs laid end to end, so every image is seen once per epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from vitstudy.data.keyed import generator
from vitstudy.data.sources import Images
from vitstudy.data.transforms import augment
from vitstudy.study.spec import DataSpec


class Batch(NamedTuple):
    """`x`: float32 (B, c, h, w) in [-1, 1]; `y`: int64 (B,); `ids`: int64 (B,), indices into the train part; `step`: t."""

    x: Tensor
    y: Tensor
    ids: Tensor
    step: int


@lru_cache(maxsize=4)
def epoch_order(seed: int, count: int, epoch: int) -> Tensor:
    """int64 (count,): the permutation of one epoch."""
    return torch.randperm(count, generator=generator(seed, "order", epoch))


class Stream:
    """Batches of one run. `ids`: the subset, indices into `images`."""

    def __init__(
        self, images: Images, ids: np.ndarray, spec: DataSpec, batch_size: int, seed: int, device: str = "cpu"
    ) -> None:
        self.spec, self.batch_size, self.seed = spec, batch_size, seed
        self.ids = torch.from_numpy(np.array(ids))
        self.pixels = torch.from_numpy(np.ascontiguousarray(images.pixels[ids])).to(device)
        self.labels = torch.from_numpy(images.labels[ids]).to(device)

    def places(self, step: int) -> Tensor:
        """int64 (B,): places in the subset of batch `step`."""
        n, parts, at, left = len(self.ids), [], step * self.batch_size, self.batch_size
        while left:
            epoch, start = divmod(at, n)
            part = epoch_order(self.seed, n, epoch)[start : start + left]
            parts.append(part)
            at, left = at + len(part), left - len(part)
        return torch.cat(parts)

    def batch(self, step: int) -> Batch:
        """Batch `step`, augmented."""
        places = self.places(step)
        here = places.to(self.pixels.device)
        x = augment(self.pixels[here], self.spec, generator(self.seed, "augment", step))
        return Batch(x, self.labels[here], self.ids[places], step)


class StreamDataset(IterableDataset[Batch]):
    """Batches start .. stop - 1 in order, shared out over loader workers; any number of them gives the same sequence."""

    def __init__(self, stream: Stream, start: int, stop: int) -> None:
        self.stream, self.start, self.stop = stream, start, stop

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        first, stride = (info.id, info.num_workers) if info else (0, 1)
        return (self.stream.batch(step) for step in range(self.start + first, self.stop, stride))
