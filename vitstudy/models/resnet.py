"""The BiT ResNet (GroupNorm, standardised weights) on timm's `ResNetV2`: whole networks, and the stems of hybrids.

Two forms (models.md section 4). "v2", pre-activation, as in google-research/big_transfer: the paper's "ResNet (BiT)". "v1",
post-activation with SAME padding, as in vit_jax and big_vision: the hybrids' stem. Which the baselines used is not stated.
Small relatives (`stem="small"`, fewer groups) differ in the 3x3 stem of stride 2, which keeps 28 px from shrinking to one
pixel, and in the number of groups: with BiT's 32, narrow layers would be left with one channel a group.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from timm.layers import GroupNormAct, StdConv2d, StdConv2dSame
from timm.models.resnetv2 import ResNetV2
from torch import Tensor, nn

from vitstudy.study.cost import last_chans
from vitstudy.study.models import HybridSpec, ResNetSpec

STANDARDISE_EPS = 1e-10
"""(w - mean) / sqrt(var + 1e-10), as in big_transfer; within 1 % of big_vision's (std + 1e-5) down to a std of 1e-3."""


class Stages(ResNetV2):
    """timm's network with a choice of memory layout. Standardised weights are made anew at each pass: inputs carry the layout."""

    memory_format = torch.contiguous_format

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, c, s, s) -> (B, C, g, g)."""
        return self.norm(self.stages(self.stem(x).contiguous(memory_format=self.memory_format)))

    def set_layout(self, channels_last: bool) -> None:
        """How feature maps lie in memory; the function is the same."""
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format


class ResNet(Stages):
    """Input (B, c, s, s) in [-1, 1]; output (B, K) logits. `spec` decides the shape."""

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__(
            **_stages(spec, StdConv2d, eps=1e-5), num_classes=spec.num_classes, preact=True, stem_type="fixed"
        )
        if spec.stem == "small":
            self.stem = _small_stem(spec, StdConv2d)
        self.spec = spec

    @property
    def classifier(self) -> nn.Module:
        """The last layer: pooled features to logits."""
        return self.head.fc

    def represent(self, x: Tensor, feature: str = "pre_logits") -> Tensor:
        """(B, c, s, s) -> (B, C): what the classifier sees. There is no hidden layer, so `feature` makes no difference."""
        return self.forward_head(self.forward_features(x), pre_logits=True)

    def classify(self, representation: Tensor) -> Tensor:
        """(B, C) -> (B, K) logits."""
        return self.head.flatten(self.head.fc(representation[:, :, None, None]))


def stem_of_hybrid(spec: HybridSpec) -> Stages:
    """The post-activation ResNet without pooling and head: (B, c, s, s) -> (B, C, g, g)."""
    net = Stages(
        **_stages(spec, StdConv2dSame, eps=1e-6), num_classes=0, global_pool="", preact=False, stem_type="same"
    )
    if spec.stem == "small":
        net.stem = _small_stem(spec, StdConv2dSame)
        net.stem.add_module("norm", GroupNormAct(spec.width, num_groups=spec.groups, eps=1e-6))
    assert net.num_features == last_chans(spec)
    return net


def _stages(spec: ResNetSpec | HybridSpec, convolution: Callable[..., nn.Module], eps: float) -> dict[str, object]:
    return {
        "layers": spec.layers,
        "channels": tuple(4 * spec.width * 2**stage for stage in range(len(spec.layers))),
        "stem_chs": spec.width,
        "in_chans": spec.in_chans,
        "conv_layer": partial(convolution, eps=STANDARDISE_EPS),
        "norm_layer": partial(GroupNormAct, num_groups=spec.groups, eps=eps),
    }


def _small_stem(spec: ResNetSpec | HybridSpec, convolution: Callable[..., nn.Module]) -> nn.Sequential:
    stem = nn.Sequential()
    stem.add_module("conv", convolution(spec.in_chans, spec.width, kernel_size=3, stride=2, eps=STANDARDISE_EPS))
    return stem
