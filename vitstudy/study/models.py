"""The typed description of a network: ViT (section 3.1, Table 1), BiT ResNet, and the hybrid of both (section 4.1).

A union told apart by `family`. What the networks are made of is in `vitstudy.models`; what they cost, in `cost`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PosembKind = Literal["none", "1d", "2d", "relative"]
PosembPlace = Literal["stem", "every-layer", "every-layer-shared"]


class Part(BaseModel):
    """Base of all specs: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Classifier(Part):
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9+/_.-]+$", description="as in the paper, e.g. ViT-B/16")
    image_size: int = Field(gt=0, description="pixels, square")
    in_chans: int = Field(gt=0)
    num_classes: int = Field(gt=1)


class _Convolutions(Part):
    """Bottleneck stages with GroupNorm and standardised weights (BiT)."""

    layers: tuple[int, ...] = Field(min_length=1, description="blocks per stage, e.g. 3, 4, 6, 3")
    width: int = Field(
        64, gt=0, multiple_of=8, description="channels of the stem; stage s: width x 2^s inside, 4 x at its end"
    )
    stem: Literal["imagenet", "small"] = Field(
        "imagenet", description="7x7 convolution and max-pool, both of stride 2; small images: one 3x3 of stride 2"
    )
    groups: int = Field(32, gt=0, description="of every GroupNorm; BiT: 32, at least 2 channels each")

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if self.width % self.groups:
            raise ValueError(f"width {self.width} is not a multiple of groups {self.groups}")
        return self

    def feature_size(self, image_size: int) -> int:
        """Side of the last feature map; every stride-2 operation gives ceil(side / 2)."""
        halvings = (2 if self.stem == "imagenet" else 1) + len(self.layers) - 1
        for _ in range(halvings):
            image_size = -(-image_size // 2)
        return image_size


class _Transformer(Part):
    hidden_dim: int = Field(gt=0)
    num_layers: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    mlp_dim: int = Field(gt=0)
    posemb: PosembKind = "1d"
    posemb_at: PosembPlace = "stem"
    pool: Literal["cls", "gap"] = "cls"
    prelogits: bool = Field(True, description="pre-training head of D.3: hidden layer of width D with tanh")
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _widths(self) -> Self:
        if self.hidden_dim % self.num_heads:
            raise ValueError(f"hidden_dim {self.hidden_dim} is not a multiple of num_heads {self.num_heads}")
        if self.posemb == "2d" and self.hidden_dim % 2:
            raise ValueError(f"posemb '2d' needs an even hidden_dim, got {self.hidden_dim}")
        if self.posemb in ("none", "relative") and self.posemb_at != "stem":
            raise ValueError(f"posemb '{self.posemb}' has no table to add; posemb_at must be 'stem' (Table 8: N/A)")
        return self


class ViTSpec(_Transformer, _Classifier):
    """A Vision Transformer (paper section 3.1, Table 1; position embeddings: section D.4)."""

    family: Literal["vit"] = "vit"
    patch_size: int = Field(gt=0, description="pixels, square")

    @model_validator(mode="after")
    def _patches_fit(self) -> Self:
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        return self

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along height and width."""
        side = self.image_size // self.patch_size
        return side, side


class ResNetSpec(_Convolutions, _Classifier):
    """A BiT ResNet (pre-activation "v2"; models.md section 4): 1000-class head on the pooled features, no hidden layer."""

    family: Literal["resnet"] = "resnet"


class HybridSpec(_Transformer, _Convolutions, _Classifier):
    """A ViT on the feature map of a post-activation ResNet, patch size one (section 3.1; models.md section 5).

    The number in the name is the down-sampling of the whole stem. /32: all four stages; /16: (3, 4, 9), stage 4's blocks
    moved to stage 3.
    """

    family: Literal["hybrid"] = "hybrid"

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens along height and width."""
        side = self.feature_size(self.image_size)
        return side, side


TransformerSpec = ViTSpec | HybridSpec
ModelSpec = Annotated[ViTSpec | ResNetSpec | HybridSpec, Field(discriminator="family")]
