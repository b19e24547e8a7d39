"""From a spec to an initialised network. Initialisation as in vit_jax (models.md 1.2, 4), keyed by parameter name.

Because each parameter's numbers depend on (seed, name) alone, cells of a grid that share a seed start from the same weights
wherever they have the same parameter: differences between cells are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vitstudy.models.resnet import ResNet
from vitstudy.models.vit import VisionTransformer, lecun_normal_
from vitstudy.study.models import ModelSpec, ResNetSpec

Key = Callable[[str], torch.Generator]
Network = VisionTransformer | ResNet


def construct(spec: ModelSpec) -> Network:
    """The network that a spec describes, its weights not yet filled."""
    return ResNet(spec) if isinstance(spec, ResNetSpec) else VisionTransformer(spec)


def build(spec: ModelSpec, key: Key, head_bias: float = 0.0) -> Network:
    """The network with its initial weights. `key(name)` gives the generator of one parameter."""
    net = construct(spec)
    init_weights_(net, key, head_bias)
    return net


@torch.no_grad()
def init_weights_(net: Network, key: Key, head_bias: float) -> None:
    """Fill every parameter. Raises ValueError for one that no rule covers."""
    for name, parameter in net.named_parameters():
        _rule(name)(parameter, key(name))
    net.classifier.get_parameter("bias").fill_(head_bias)


def _zeros(parameter: Tensor, generator: torch.Generator) -> None:
    parameter.zero_()


def _ones(parameter: Tensor, generator: torch.Generator) -> None:
    parameter.fill_(1.0)


def _position(parameter: Tensor, generator: torch.Generator) -> None:
    nn.init.normal_(parameter, std=0.02, generator=generator)


def _offsets(parameter: Tensor, generator: torch.Generator) -> None:
    # ours, the paper is silent: r stands in for a key, and content keys start with variance 1 (qkv of a LayerNorm's output).
    # With the 0.02 of the tables, position logits start at nothing and the form learns too slowly to be told from none.
    nn.init.normal_(parameter, std=1.0, generator=generator)


def _xavier(parameter: Tensor, generator: torch.Generator) -> None:
    nn.init.xavier_uniform_(parameter, generator=generator)


def _qkv(parameter: Tensor, generator: torch.Generator) -> None:
    # one D x D matrix each, not the packed 3D x D one: limit sqrt(3 / D)
    limit = math.sqrt(3 / parameter.shape[1])
    nn.init.uniform_(parameter, -limit, limit, generator=generator)


def _lecun(parameter: Tensor, generator: torch.Generator) -> None:
    lecun_normal_(parameter, parameter[0].numel(), generator)


def _tiny(parameter: Tensor, generator: torch.Generator) -> None:
    nn.init.normal_(parameter, std=1e-6, generator=generator)


_RULES: dict[str, Callable[[Tensor, torch.Generator], None]] = {
    "cls_token": _zeros,
    "pos_embed": _position,
    ".table": _position,
    ".rows": _position,
    ".cols": _position,
    ".prefix_table": _position,
    ".offsets": _offsets,
    "patch_embed.proj.weight": _lecun,
    ".conv.weight": _lecun,  # standardised weights: their scale is divided out again
    ".conv1.weight": _lecun,
    ".conv2.weight": _lecun,
    ".conv3.weight": _lecun,
    "pre_logits.fc.weight": _lecun,
    "attn.qkv.weight": _qkv,
    "attn.proj.weight": _xavier,
    "mlp.fc1.weight": _xavier,
    "mlp.fc2.weight": _xavier,
    "mlp.fc1.bias": _tiny,
    "mlp.fc2.bias": _tiny,
    "head.weight": _zeros,
    "head.fc.weight": _zeros,
    "norm.weight": _ones,
    "norm1.weight": _ones,
    "norm2.weight": _ones,
    "norm3.weight": _ones,
    ".bias": _zeros,
}


def _rule(name: str) -> Callable[[Tensor, torch.Generator], None]:
    if name.startswith("patch_embed.backbone.stages.") and name.endswith("norm3.weight"):
        return _zeros  # v1: every block starts as the identity (vit_jax, models_resnet.py)
    for ending, rule in _RULES.items():
        if name.endswith(ending):
            return rule
    raise ValueError(f"no initialisation is defined for parameter '{name}'")
