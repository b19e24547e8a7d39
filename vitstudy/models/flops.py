"""Compute of a model, counted on the meta device before anything runs. 1 multiply-add = 2 FLOPs; training = 3 x forward.

Older torch has no formula for the fused attention kernel of the CPU and misses its products: the plain one is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitstudy.models.factory import Network, construct
from vitstudy.models.vit import VisionTransformer
from vitstudy.study.cost import Split
from vitstudy.study.models import ModelSpec

PARTS: dict[str, tuple[str, ...]] = {
    "patch_embedding": ("patch_embed.proj",),
    "attention": (".attn",),
    "mlp": (".mlp",),
    "convolution": ("patch_embed.backbone", "stem", "stages"),
    "head": ("pre_logits", "head"),
}
"""Part of `Split` -> the modules that do it: a whole name, or the end of the name of one in each block."""


@dataclass(frozen=True)
class ModelCost:
    """`params`: learned numbers; `forward_flops`: per image, `split` by part; `train_flops`: forward and backward."""

    params: int
    forward_flops: int
    split: Split

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
    return ModelCost(sum(p.numel() for p in net.parameters()), counter.get_total_flops(), _split(counter, net))


def _split(counter: FlopCounterMode, net: Network) -> Split:
    counts = {
        name.partition(".")[2]: sum(operations.values()) for name, operations in counter.get_flop_counts().items()
    }
    by_part = {
        part: sum(
            flops
            for name, flops in counts.items()
            if any(name == n or (n[0] == "." and name.endswith(n)) for n in names)
        )
        for part, names in PARTS.items()
    }
    return Split(**by_part)
