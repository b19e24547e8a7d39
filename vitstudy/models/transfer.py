"""From a pre-trained network to the start of fine-tuning: the body is taken, the head is new (section 3.2).

Position embeddings at a new resolution are interpolated in two dimensions, bilinear with aligned corners: what
`scipy.ndimage.zoom(order=1)` does in the released code (vit_jax, checkpoint.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from vitstudy.models.factory import Network
from vitstudy.models.vit import VisionTransformer
from vitstudy.study.models import ModelSpec


def resample_grid(codes: Tensor, size: tuple[int, int]) -> Tensor:
    """(gh, gw, D) -> (h, w, D): bilinear, corners aligned. The identity for an equal grid."""
    if codes.shape[:2] == size:
        return codes
    image = codes.permute(2, 0, 1)[None]
    return F.interpolate(image, size, mode="bilinear", align_corners=True)[0].permute(1, 2, 0)


@torch.no_grad()
def load_body(net: Network, weights: Mapping[str, Tensor], old: ModelSpec, posemb: str = "interpolate") -> None:
    """Fill `net` with the `weights` of a pre-trained `old` model, all but the head.

    `posemb` "reset" also leaves the position embeddings as they are.

    Raises ValueError when a parameter of the body is missing, has another shape, or cannot be resampled.
    """
    for name, parameter in net.named_parameters():
        if name.split(".")[0] in ("head", "pre_logits"):
            continue
        position = name == "pos_embed" or name.startswith("posemb.")
        if position and posemb == "reset":
            continue
        if name not in weights:
            raise ValueError(f"the pre-trained network has no parameter '{name}'")
        value = weights[name]
        if position and isinstance(net, VisionTransformer):
            value = _positions(name, value, old, net)
        if value.shape != parameter.shape:
            raise ValueError(f"parameter '{name}': {tuple(value.shape)} pre-trained, {tuple(parameter.shape)} here")
        parameter.copy_(value)


def _positions(name: str, value: Tensor, old: ModelSpec, net: VisionTransformer) -> Tensor:
    """A table of positions at the grid of `net`; rows of the class token are kept."""
    height, width = net.spec.grid
    if name.endswith("prefix_table"):
        return value
    if name.endswith((".rows", ".cols")):
        count = height if name.endswith(".rows") else width
        return resample_grid(value[:, None], (count, 1))[:, 0]
    table = value.reshape(-1, value.shape[-1])
    prefix, patches = table[: net.num_prefix_tokens], table[net.num_prefix_tokens :]
    patches = resample_grid(patches.reshape(*old.grid, -1), (height, width)).flatten(0, 1)
    return torch.cat([prefix, patches]).reshape(*value.shape[:-2], -1, value.shape[-1])
