"""One pass over an image set: predictions and representations; and exact top-1 accuracy from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vitstudy.data.sources import ImageSet
from vitstudy.data.transforms import to_input
from vitstudy.models.factory import Network

CPU_BATCH = 100
"""Images that a CPU evaluates at once, at most: with 500 it is no faster, and the peak memory of a process is higher."""


@dataclass(frozen=True)
class Encoded:
    """`predicted`, `labels`: int64 (n,); `features`: float64 (n, D), the representation that few-shot uses."""

    predicted: NDArray[np.int64]
    labels: NDArray[np.int64]
    features: NDArray[np.float64]

    def top1(self) -> float:
        """Correct over total, a fraction: never a mean of batch means."""
        return int((self.predicted == self.labels).sum()) / len(self.labels)


@torch.inference_mode()
def encode(net: Network, images: ImageSet, feature: str = "pre_logits", batch_size: int = 500) -> Encoded:
    """Run `net` in float32 over all images, in order. `feature`: pre_logits, or encoded (before the hidden head layer)."""
    training = net.training
    net.eval()
    device = next(net.parameters()).device
    if device.type == "cpu":
        batch_size = min(batch_size, CPU_BATCH)
    # filled in place: small results kept between large temporaries would break up the heap
    predicted, features = torch.empty(len(images), dtype=torch.int64), torch.empty(0, dtype=torch.float64)
    for start in range(0, len(images), batch_size):
        ids = np.arange(start, min(start + batch_size, len(images)))
        x = to_input(torch.from_numpy(images.pixels_at(ids)).to(device), net.spec.image_size, net.spec.in_chans)
        representation = net.represent(x)
        predicted[ids] = net.classify(representation).argmax(1).cpu()
        kept = representation if feature == "pre_logits" else net.represent(x, feature)
        if start == 0:
            features = features.new_empty(len(images), kept.shape[1])
        features[ids] = kept.double().cpu()
    net.train(training)
    return Encoded(predicted.numpy(), images.labels, features.numpy())
