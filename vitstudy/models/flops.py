"""Compute of a model, counted on the meta device before anything runs. 1 multiply-add = 2 FLOPs; training = 3 x forward.

Counting with torch's fused attention on the CPU misses the attention products, so the plain kernel is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitstudy.models.factory import construct
from vitstudy.models.vit import VisionTransformer
from vitstudy.study.models import ModelSpec


@dataclass(frozen=True)
class ModelCost:
    """`params`: learned numbers; `forward_flops`: per image; `train_flops`: per image, forward and backward."""

    params: int
    forward_flops: int

    @property
    def train_flops(self) -> int:
        """3 x forward: the backward pass costs about twice the forward pass."""
        return 3 * self.forward_flops


@lru_cache(maxsize=256)
def model_cost(spec: ModelSpec) -> ModelCost:
    """Counted on the meta device: no memory, no weights."""
    with torch.device("meta"):
        net = construct(spec).eval()
        if isinstance(net, VisionTransformer):
            net.set_attention_kernel(fused=False)
        image = torch.empty(1, spec.in_chans, spec.image_size, spec.image_size)
        with FlopCounterMode(display=False) as counter:
            net(image)
    return ModelCost(sum(p.numel() for p in net.parameters()), counter.get_total_flops())
