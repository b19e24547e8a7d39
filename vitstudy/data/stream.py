"""The endless stream of training batches: batch t is a pure function of (seed, t), wherever one starts.

A batch is gathered and augmented on the device. Epoch e is the permutation of (seed, e); batch t covers places t*B .. (t+1)*B
of the epochs laid end to end, so every image is seen once per epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from vitstudy.data.dataset import Pool
from vitstudy.data.keyed import generator
from vitstudy.data.permutation import stretch
from vitstudy.data.transforms import augment
from vitstudy.study.spec import DataSpec


class Batch(NamedTuple):
    """`x`: float32 (B, c, h, w) in [-1, 1]; `y`: int64 (B,); `ids`: int64 (B,), indices into the train part; `step`: t."""

    x: Tensor
    y: Tensor
    ids: Tensor
    step: int


class Stream:
    """Batches of one run, drawn from `pool`."""

    def __init__(self, pool: Pool, spec: DataSpec, batch_size: int, seed: int) -> None:
        self.pool, self.spec, self.batch_size, self.seed = pool, spec, batch_size, seed

    def places(self, step: int) -> Tensor:
        """int64 (B,): places in the pool of batch `step`."""
        n, at = len(self.pool), step * self.batch_size
        end, parts = at + self.batch_size, []
        while at < end:
            epoch, start = divmod(at, n)
            stop = min(n, start + end - at)
            parts.append(stretch(self.seed, epoch, n, start, stop))
            at += stop - start
        return torch.from_numpy(np.concatenate(parts))

    def batch(self, step: int) -> Batch:
        """Batch `step`, augmented."""
        pixels, labels, ids = self.pool.get(self.places(step))
        return Batch(augment(pixels, self.spec, generator(self.seed, "augment", step)), labels, ids, step)


class StreamDataset(IterableDataset[Batch]):
    """Batches start .. stop - 1 in order, shared out over loader workers; any number of them gives the same sequence."""

    def __init__(self, stream: Stream, start: int, stop: int) -> None:
        self.stream, self.start, self.stop = stream, start, stop

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        first, stride = (info.id, info.num_workers) if info else (0, 1)
        for step in range(self.start + first, self.stop, stride):
            batch = self.stream.batch(step)
            if info is None and step + 1 < self.stop:  # a loader worker is itself ahead of training
                self.stream.pool.expect(self.stream.places(step + 1))
            yield batch
