"""The Vision Transformer of the paper (section 3.1) on timm's, with the released code's details (vit_jax, models.py).

The hybrid is the same network on the feature map of a ResNet (`HybridSpec`): only the patch embedding differs.

Differences from timm's defaults: LayerNorm eps 1e-6, GELU in its tanh form, the pre-training head with a tanh layer (D.3),
initialisation as in vit_jax (`init_weights_`), patches embedded by a matrix product, and the position embeddings of D.4.
Everything else, state-dict names included, is timm's. 1-D in the stem is timm's own `pos_embed`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial

import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from timm.models.vision_transformer_hybrid import HybridEmbed
from torch import Tensor, nn
from torch.nn import functional as F

from vitstudy.models.posemb import RelativeAttention, Table1d, Table2d
from vitstudy.models.resnet import stem_of_hybrid
from vitstudy.study.models import HybridSpec, TransformerSpec, ViTSpec


class PatchConv2d(nn.Conv2d):
    """A convolution whose stride is its kernel size, as one matrix product over the patches (section 3.1, equation 1).

    The same function as its parent's, and on a CPU several times as fast for images of one colour (`make bench`).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, gh p, gw p) -> (B, D, gh, gw)."""
        height, width = self.kernel_size
        patches = x.unflatten(3, (-1, width)).unflatten(2, (-1, height))  # (B, c, gh, p, gw, p)
        embedded = F.linear(patches.permute(0, 2, 4, 1, 3, 5).flatten(3), self.weight.flatten(1), self.bias)
        return embedded.permute(0, 3, 1, 2)


class VisionTransformer(TimmVisionTransformer):
    """`spec` decides the shape, the position embedding and the head. Input (B, c, s, s) in [-1, 1]; output (B, K) logits."""

    def __init__(self, spec: TransformerSpec) -> None:
        prefix = 1 if spec.pool == "cls" else 0
        super().__init__(
            embed_layer=partial(HybridEmbed, stem_of_hybrid(spec)) if isinstance(spec, HybridSpec) else PatchEmbed,
            img_size=spec.image_size, patch_size=spec.patch_size if isinstance(spec, ViTSpec) else 1, in_chans=spec.in_chans,
            num_classes=spec.num_classes,
            embed_dim=spec.hidden_dim, depth=spec.num_layers, num_heads=spec.num_heads,
            mlp_ratio=spec.mlp_dim / spec.hidden_dim, class_token=prefix == 1, global_pool="token" if prefix else "avg",
            fc_norm=False, pos_embed="learn" if (spec.posemb, spec.posemb_at) == ("1d", "stem") else "none",
            pos_drop_rate=spec.dropout, proj_drop_rate=spec.dropout, weight_init="skip",
            norm_layer=partial(nn.LayerNorm, eps=1e-6), act_layer=partial(nn.GELU, approximate="tanh"),
        )  # fmt: skip
        self.spec = spec
        if isinstance(spec, ViTSpec):
            self.patch_embed.proj = PatchConv2d(spec.in_chans, spec.hidden_dim, spec.patch_size, spec.patch_size)
        if spec.posemb == "relative":
            num_patches = spec.grid[0] * spec.grid[1]
            for block in self.blocks:
                block.attn = RelativeAttention(
                    spec.hidden_dim,
                    spec.num_heads,
                    num_patches=num_patches,
                    prefix=prefix,
                    qkv_bias=True,
                    proj_drop=spec.dropout,
                )
        self.posemb = _tables(spec, prefix) if self.pos_embed is None else nn.ModuleList()
        self.pre_logits: nn.Module = nn.Identity()
        if spec.prelogits:
            hidden = nn.Linear(spec.hidden_dim, spec.hidden_dim)
            self.pre_logits = nn.Sequential(OrderedDict(fc=hidden, act=nn.Tanh()))

    def forward_features(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """(B, c, s, s) -> (B, T, D): all tokens after the final LayerNorm."""
        x = self.patch_embed(x)
        if self.pos_embed is not None:
            x = self._pos_embed(x)
        else:
            if self.cls_token is not None:
                x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
            if self.posemb:
                x = x + self.posemb[0]()
            x = self.pos_drop(x)
        for i, block in enumerate(self.blocks):
            if i and self.spec.posemb_at != "stem":
                x = x + self.posemb[i if self.spec.posemb_at == "every-layer" else 0]()
            x = block(x)
        return self.norm(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(B, T, D) -> (B, K), or the representation (B, D) before the classifier."""
        x = self.pre_logits(self.pool(x))
        return x if pre_logits else self.head(x)

    @property
    def classifier(self) -> nn.Module:
        """The last layer: representation to logits."""
        return self.head

    def represent(self, x: Tensor, feature: str = "pre_logits") -> Tensor:
        """(B, c, s, s) -> (B, D). `feature`: pre_logits (after the hidden head layer), or encoded (before it)."""
        pooled = self.pool(self.forward_features(x))
        return self.pre_logits(pooled) if feature == "pre_logits" else pooled

    def classify(self, representation: Tensor) -> Tensor:
        """(B, D), pre_logits -> (B, K) logits."""
        return self.head(representation)

    def position_codes(self) -> Tensor | None:
        """The learned codes of the patches, (tables, gh, gw, D), class token left out; None for none and relative."""
        height, width = self.spec.grid
        prefix = self.num_prefix_tokens
        if self.pos_embed is not None:
            return self.pos_embed[:, prefix:].reshape(1, height, width, -1)
        if not self.posemb:
            return None
        return torch.stack([table()[prefix:].reshape(height, width, -1) for table in self.posemb])

    def offset_codes(self) -> Tensor | None:
        """The relative form's embeddings of the offsets -(N-1) .. N-1: (layers that are trained, 2 N - 1, D_h); else None."""
        layers: list[Tensor] = [
            block.attn.offsets for block in self.blocks if isinstance(block.attn, RelativeAttention)
        ]
        if self.num_prefix_tokens:  # the class token reads the last layer, and no position logit is its own
            layers = layers[:-1] or layers
        return torch.stack(layers) if layers else None

    def set_attention_kernel(self, fused: bool) -> None:
        """Choose torch's fused kernel or plain matrix products; the function is the same."""
        for block in self.blocks:
            block.attn.fused_attn = fused

    def set_layout(self, channels_last: bool) -> None:
        """How the feature maps of a hybrid's stem lie in memory."""
        self.patch_embed.backbone.set_layout(channels_last)


def _tables(spec: TransformerSpec, prefix: int) -> nn.ModuleList:
    if spec.posemb in ("none", "relative"):
        return nn.ModuleList()
    table = Table1d if spec.posemb == "1d" else Table2d
    count = spec.num_layers if spec.posemb_at == "every-layer" else 1
    return nn.ModuleList(table(spec.grid, spec.hidden_dim, prefix) for _ in range(count))


def lecun_normal_(weight: Tensor, fan_in: int, generator: torch.Generator) -> None:
    """Normal truncated at 2 sigma with variance 1/fan_in *after* truncation (flax; torch does not correct for it)."""
    std = math.sqrt(1 / fan_in) / 0.87962566103423978
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)
