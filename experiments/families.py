"""The models that studies compare, at each scale: ViT, BiT ResNet and hybrid, small to large, paired by FLOPs (C47).

At `imagenet` and `paper` they are the paper's own. The small relatives are ours: a ViT, a ResNet and a hybrid of one letter
(t, n, m) cost the same FLOPs per image within 12 %, at 20 px (a test counts them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from vitstudy.study.models import HybridSpec, ModelSpec, Part, ResNetSpec, ViTSpec
from vitstudy.study.spec import Scale
from vitstudy.study.zoo import named

Model = TypeVar("Model", bound=Part)


@dataclass(frozen=True)
class Families:
    """Small to large in each family."""

    vit: tuple[ModelSpec, ...]
    resnet: tuple[ModelSpec, ...]
    hybrid: tuple[ModelSpec, ...]

    @property
    def all(self) -> tuple[ModelSpec, ...]:
        """Every model."""
        return (*self.vit, *self.resnet, *self.hybrid)

    def named(self, *names: str) -> tuple[ModelSpec, ...]:
        """Those of `names`, in the order of `all`."""
        return tuple(model for model in self.all if model.name in names)


def resize(model: Model, **changes: Any) -> Model:
    """The model with other values of those fields that its family has, validated again."""
    kind: type[Model] = type(model)
    known = {name: value for name, value in changes.items() if name in kind.model_fields}
    if all(getattr(model, name) == value for name, value in known.items()):
        return model
    return kind.model_validate({**dict(model), **known})


_GREY: dict[str, Any] = {"image_size": 20, "in_chans": 1, "num_classes": 10}
_RGB: dict[str, Any] = {"image_size": 32, "in_chans": 3, "num_classes": 10}


def _vit(name: str, dim: int, depth: int, heads: int, mlp: int, **shape: Any) -> ViTSpec:
    sizes = {"hidden_dim": dim, "num_layers": depth, "num_heads": heads, "mlp_dim": mlp}
    return ViTSpec(name=name, **sizes, patch_size=4, **(shape or _GREY))


def _resnet(name: str, layers: tuple[int, ...], width: int, **shape: Any) -> ResNetSpec:
    # 8 channels a group at the narrowest (BiT's R50x1: 2): with one channel a group nothing of an image's mean would be left
    return ResNetSpec(name=name, layers=layers, width=width, stem="small", groups=width // 8, **(shape or _GREY))


def _hybrid(
    name: str, layers: tuple[int, ...], width: int, dim: int, depth: int, heads: int, mlp: int, **shape: Any
) -> HybridSpec:
    return HybridSpec(
        name=name, layers=layers, width=width, stem="small", groups=width // 8,
        hidden_dim=dim, num_layers=depth, num_heads=heads, mlp_dim=mlp, **(shape or _GREY),
    )  # fmt: skip


FAMILIES: dict[Scale, Families] = {
    "smoke": Families(
        vit=(_vit("ViT-smoke/4", 16, 2, 2, 32),),
        resnet=(_resnet("R-smoke", (1, 1), 8),),
        hybrid=(_hybrid("R-smoke+ViT-smoke/4", (1, 1), 8, 16, 1, 2, 32),),
    ),
    "nano": Families(
        vit=(_vit("ViT-t/4", 64, 2, 4, 256), _vit("ViT-n/4", 64, 4, 4, 256), _vit("ViT-m/4", 80, 5, 5, 320)),
        resnet=tuple(_resnet(f"R14-{size}", (1, 2, 1), width) for size, width in (("t", 16), ("n", 24), ("m", 32))),
        hybrid=(
            _hybrid("R8+ViT-t/4", (1, 1), 16, 48, 2, 3, 192),
            _hybrid("R8+ViT-n/4", (1, 1), 16, 64, 3, 4, 256),
            _hybrid("R8+ViT-m/4", (1, 1), 16, 96, 3, 4, 384),
        ),
    ),
    "mini": Families(
        vit=(named("ViT-Ti/4", **_RGB), named("ViT-S/4", **_RGB)),
        resnet=(_resnet("R26-ti", (2, 2, 2, 2), 88, **_RGB), _resnet("R50-s", (3, 4, 6, 3), 136, **_RGB)),
        hybrid=(
            _hybrid("R10-ti+ViT-Ti/4", (2, 2), 48, 192, 10, 3, 768, **_RGB),
            _hybrid("R20-s+ViT-S/4", (3, 4), 32, 384, 12, 6, 1536, **_RGB),
        ),
    ),
    "imagenet": Families(
        vit=(named("ViT-S/16"), named("ViT-B/16")),
        resnet=(named("R50x1"), named("R101x1")),
        hybrid=(named("R50x1+ViT-S/16"),),
    ),
    "paper": Families(
        vit=tuple(named(name) for name in ("ViT-b/32", "ViT-B/32", "ViT-B/16", "ViT-L/32", "ViT-L/16", "ViT-H/14")),
        resnet=tuple(named(name) for name in ("R50x1", "R50x2", "R101x1", "R152x1", "R152x2", "R200x3")),
        hybrid=tuple(named(f"R50x1+ViT-{name}") for name in ("B/32", "B/16", "L/32", "L/16")),
    ),
}
