"""Parameters and compute of a network as closed formulas on its spec: nothing is built. 1 multiply-add = 2 FLOPs.

Counted: matrix products and convolutions, padding included, as hardware executes them. What Table 6 counts instead is in
`vitstudy.results.accounting`. Tests compare every kind with the network itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from vitstudy.study.models import HybridSpec, ModelSpec, ResNetSpec, TransformerSpec, ViTSpec
from vitstudy.study.spec import RunSpec


class Split(NamedTuple):
    """FLOPs of one image's forward pass by part. A hybrid's stem is convolution, its 1 x 1 projection patch embedding.

    attention: q, k, v, logits (those of relative positions too), weighted sum, output projection; head: hidden layer too.
    """

    patch_embedding: int
    attention: int
    mlp: int
    convolution: int
    head: int


class Convolution(NamedTuple):
    """One convolution without bias: `side` x `side` pixels in, `out` x `out` out; `normed`: channels of its GroupNorm, or 0."""

    side: int
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
    kernel = 7 if model.stem == "imagenet" else 3
    yield Convolution(model.image_size, side, kernel, model.in_chans, model.width, model.width * post)
    if model.stem == "imagenet":
        side = -(-side // 2)
    chans = model.width
    for stage, blocks in enumerate(model.layers):
        mid = model.width * 2**stage
        for block in range(blocks):
            out = -(-side // 2) if stage and not block else side
            yield Convolution(side, side, 1, chans, mid, mid if post else chans)
            yield Convolution(side, out, 3, mid, mid, mid)
            yield Convolution(out, out, 1, mid, 4 * mid, 4 * mid if post else mid)
            if not block:
                yield Convolution(side, out, 1, chans, 4 * mid, 4 * mid * post)
            side, chans = out, 4 * mid


def split(model: ModelSpec) -> Split:
    """FLOPs of one image's forward pass, by part."""
    convolution = 0
    if isinstance(model, ResNetSpec | HybridSpec):
        convolution = 2 * sum(layer.macs for layer in convolutions(model))
    if isinstance(model, ResNetSpec):
        return Split(0, 0, 0, convolution, 2 * last_chans(model) * model.num_classes)
    patches, dim = model.grid[0] * model.grid[1], model.hidden_dim
    tokens = patches + (model.pool == "cls")
    attention = 4 * tokens * dim**2 + 2 * tokens**2 * dim
    if model.posemb == "relative":
        attention += patches**2 * dim
    return Split(
        patch_embedding=2 * patches * _patch(model) * dim,
        attention=2 * model.num_layers * attention,
        mlp=2 * model.num_layers * 2 * tokens * dim * model.mlp_dim,
        convolution=convolution,
        head=2 * (dim**2 * model.prelogits + dim * model.num_classes),
    )


def forward_flops(model: ModelSpec) -> int:
    """FLOPs of one image's forward pass."""
    return sum(split(model))


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

    Convolutions: their output, its normalised form, and a copy in the other precision of either (up to 2.2 x what is stored
    where no copy is made). Transformer: 34 bytes per token, channel and layer, and the attention maps (Korthikanti et al.
    2022, arXiv 2205.05198, section 4.1).
    """
    total = 0
    if isinstance(model, ResNetSpec | HybridSpec):
        total += sum(6 * layer.out**2 * layer.chans_out for layer in convolutions(model))
    if not isinstance(model, ResNetSpec):
        tokens = model.grid[0] * model.grid[1] + (model.pool == "cls")
        total += model.num_layers * (34 * tokens * model.hidden_dim + 5 * model.num_heads * tokens**2)
    return total
