"""Parameters and compute of a network as closed formulas on its spec: nothing is built. 1 multiply-add = 2 FLOPs.

Counted: matrix products and convolutions (Table 6's exaFLOPs count these). A test compares every kind with the network itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from vitstudy.study.models import HybridSpec, ModelSpec, ResNetSpec, TransformerSpec, ViTSpec
from vitstudy.study.spec import RunSpec


class Convolution(NamedTuple):
    """One convolution without bias: `out` x `out` pixels out, kernel x kernel, channels in and out, GroupNorm channels after."""

    out: int
    kernel: int
    chans_in: int
    chans_out: int
    normed: int

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return self.out**2 * self.weights

    @property
    def weights(self) -> int:
        """Numbers in the kernel."""
        return self.kernel**2 * self.chans_in * self.chans_out


def convolutions(model: ResNetSpec | HybridSpec) -> Iterator[Convolution]:
    """All of the stem and the stages. `normed`: channels of the GroupNorm that belongs to it (before it in v2, after in v1)."""
    post = model.family == "hybrid"
    side = -(-model.image_size // 2)
    yield Convolution(side, 7 if model.stem == "imagenet" else 3, model.in_chans, model.width, model.width * post)
    if model.stem == "imagenet":
        side = -(-side // 2)
    chans = model.width
    for stage, blocks in enumerate(model.layers):
        mid = model.width * 2**stage
        for block in range(blocks):
            out = -(-side // 2) if stage and not block else side
            yield Convolution(side, 1, chans, mid, mid if post else chans)
            yield Convolution(out, 3, mid, mid, mid)
            yield Convolution(out, 1, mid, 4 * mid, 4 * mid if post else mid)
            if not block:
                yield Convolution(out, 1, chans, 4 * mid, 4 * mid * post)
            side, chans = out, 4 * mid


def forward_flops(model: ModelSpec) -> int:
    """FLOPs of one image's forward pass."""
    macs = 0
    if isinstance(model, ResNetSpec | HybridSpec):
        macs += sum(layer.macs for layer in convolutions(model))
    if isinstance(model, ResNetSpec):
        return 2 * (macs + last_chans(model) * model.num_classes)
    patches, dim = model.grid[0] * model.grid[1], model.hidden_dim
    tokens = patches + (model.pool == "cls")
    block = 4 * tokens * dim**2 + 2 * tokens**2 * dim + 2 * tokens * dim * model.mlp_dim
    if model.posemb == "relative":
        block += patches**2 * dim
    head = dim**2 * model.prelogits + dim * model.num_classes
    return 2 * (macs + patches * _patch(model) * dim + model.num_layers * block + head)


def parameters(model: ModelSpec) -> int:
    """Learned numbers, position embedding included."""
    count = 0
    if isinstance(model, ResNetSpec | HybridSpec):
        count += sum(layer.weights + 2 * layer.normed for layer in convolutions(model))
    if isinstance(model, ResNetSpec):
        return count + 2 * last_chans(model) + (last_chans(model) + 1) * model.num_classes
    patches, dim, prefix = model.grid[0] * model.grid[1], model.hidden_dim, int(model.pool == "cls")
    embed = _patch(model) * dim + dim + prefix * dim
    block = 4 * (dim**2 + dim) + 2 * dim * model.mlp_dim + dim + model.mlp_dim + 4 * dim
    head = (dim**2 + dim) * model.prelogits + (dim + 1) * model.num_classes
    return count + embed + model.num_layers * block + 2 * dim + head + _posemb_parameters(model, patches, prefix)


def last_chans(model: ResNetSpec | HybridSpec) -> int:
    """Channels of the last feature map."""
    return int(4 * model.width * 2 ** (len(model.layers) - 1))


def _patch(model: TransformerSpec) -> int:
    """Numbers that one token is made from."""
    return model.patch_size**2 * model.in_chans if isinstance(model, ViTSpec) else last_chans(model)


def _posemb_parameters(model: TransformerSpec, patches: int, prefix: int) -> int:
    tables = model.num_layers if model.posemb_at == "every-layer" else 1
    if model.posemb == "1d":
        return tables * (patches + prefix) * model.hidden_dim
    if model.posemb == "2d":
        return tables * (sum(model.grid) * model.hidden_dim // 2 + prefix * model.hidden_dim)
    if model.posemb == "relative":
        return model.num_layers * (2 * patches - 1) * (model.hidden_dim // model.num_heads)
    return 0


def train_flops(spec: RunSpec) -> int:
    """FLOPs of a whole run's training: 3 x forward for every image seen."""
    return 3 * forward_flops(spec.model) * spec.optim.steps * spec.optim.batch_size


def activation_bytes(model: ModelSpec) -> int:
    """Stored for the backward pass of one image, bf16, nothing recomputed: an upper estimate.

    Convolutions: their output and its normalised copy. Transformer: 34 bytes per token, channel and layer, and the attention
    maps (Korthikanti et al. 2022, arXiv 2205.05198, section 4.1).
    """
    total = 0
    if isinstance(model, ResNetSpec | HybridSpec):
        total += sum(6 * layer.out**2 * layer.chans_out for layer in convolutions(model))
    if not isinstance(model, ResNetSpec):
        tokens = model.grid[0] * model.grid[1] + 1
        total += model.num_layers * (34 * tokens * model.hidden_dim + 5 * model.num_heads * tokens**2)
    return total
