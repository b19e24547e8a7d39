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
from vitstudy.study.models import ModelSpec, ResNetSpec


def resample_grid(codes: Tensor, size: tuple[int, int]) -> Tensor:
    """(gh, gw, D) -> (h, w, D): bilinear, corners aligned. The identity for an equal grid."""
    if codes.shape[:2] == size:
        return codes
    image = codes.permute(2, 0, 1)[None]
    return F.interpolate(image, size, mode="bilinear", align_corners=True)[0].permute(1, 2, 0)


@torch.no_grad()
def load_body(net: Network, weights: Mapping[str, Tensor], old: ModelSpec, posemb: str = "interpolate") -> None:
    """Fill `net` with the `weights` of a pre-trained `old` model, all but the head and its hidden layer.

    `posemb` "reset" also leaves the position embeddings as they are. Relative offsets are raster offsets: on another grid the
    same number is another displacement, so they are taken on an equal grid only.

    Raises ValueError when the two networks differ in more than head and resolution, or positions cannot be resampled.
    """
    _check_fields(net.spec, old)
    body = {name: p for name, p in net.named_parameters() if not _is_head(name)}
    if surplus := sorted(name for name in weights if not _is_head(name) and name not in body):
        raise ValueError(f"the pre-trained network has a parameter '{surplus[0]}' that has no place here")
    for name, parameter in body.items():
        position = name == "pos_embed" or name.startswith("posemb.") or name.endswith(".attn.offsets")
        if position and posemb == "reset":
            continue
        if name not in weights:
            raise ValueError(f"the pre-trained network has no parameter '{name}'")
        value = weights[name]
        if position and not isinstance(net.spec, ResNetSpec) and not isinstance(old, ResNetSpec):
            value = _positions(name, value, old.grid, net.spec.grid, prefix=int(old.pool == "cls"))
        if value.shape != parameter.shape:
            raise ValueError(f"parameter '{name}': {tuple(value.shape)} pre-trained, {tuple(parameter.shape)} here")
        parameter.copy_(value)


def _is_head(name: str) -> bool:
    return name.split(".")[0] in ("head", "pre_logits")


def _check_fields(new: ModelSpec, old: ModelSpec) -> None:
    for field in ("family", "in_chans", "posemb", "posemb_at", "pool"):
        before, here = getattr(old, field, None), getattr(new, field, None)
        if before != here:
            raise ValueError(f"{field} of '{new.name}': {before} pre-trained, {here} here; fine-tuning keeps it")


def _positions(name: str, value: Tensor, old: tuple[int, int], new: tuple[int, int], prefix: int) -> Tensor:
    """Positions on grid `old` as on grid `new`, both (height, width); rows of the class token, `prefix` of them, are kept."""
    if old == new or name.endswith("prefix_table"):
        return value
    if name.endswith(".offsets"):
        raise ValueError(
            f"relative position offsets of grid {old} have no meaning on grid {new}: pre-train on it, or reset them"
        )
    if name.endswith((".rows", ".cols")):
        count = new[0] if name.endswith(".rows") else new[1]
        return resample_grid(value[:, None], (count, 1))[:, 0]
    table = value.reshape(-1, value.shape[-1])
    kept, patches = table[:prefix], table[prefix:]
    patches = resample_grid(patches.reshape(*old, -1), new).flatten(0, 1)
    return torch.cat([kept, patches]).reshape(*value.shape[:-2], -1, value.shape[-1])
