"""Scaling depth, width, MLP width, patch size, or all of them: Figure 8 (D.2). Claim C33.

Question   Along which dimension does compute buy most?
Grid       one base ViT; one dimension changed at a time, then all together; x seeds.
Command    make ablation-shape             (vitstudy run shape --scale nano)
Time       nano: at most 20 minutes on 2 CPU cores.
Expected   paper: depth gains most, with diminishing returns after 16 layers; width least; smaller patches gain steadily; all
           together is robust. Published values: analysis/paper/fig8_transformer_shape.csv.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from experiments.families import FAMILIES, resize
from experiments.recipes import pretrain
from vitstudy.study.models import ViTSpec
from vitstudy.study.spec import DataSpec, EvalSpec, OptimSpec, RunSpec, Scale
from vitstudy.study.study import Study
from vitstudy.study.zoo import named

DIMENSIONS = ("num_layers", "hidden_dim", "mlp_dim", "patch_size")


@dataclass(frozen=True)
class Setting:
    """`lines`: for each line of Figure 8 the (layers, hidden dimension, MLP dimension, patch size) of its points."""

    base: ViTSpec
    lines: tuple[tuple[int, int, int, int], ...]
    data: DataSpec
    optim: OptimSpec
    evaluation: EvalSpec
    seeds: int


def _base(name: str, *shape: int, heads: int, like: Any) -> ViTSpec:
    sizes = dict(zip(DIMENSIONS, shape, strict=True))
    return ViTSpec.model_validate({**dict(like), "name": name, "num_heads": heads, **sizes})


_NANO_BASE = _base("ViT-base/4", 4, 64, 128, 4, heads=4, like=FAMILIES["nano"].vit[0])

_SMOKE = Setting(
    base=_base("ViT-base/4", 2, 16, 32, 4, heads=2, like=FAMILIES["smoke"].vit[0]),
    lines=((1, 16, 32, 4), (4, 16, 32, 4), (2, 8, 32, 4), (2, 16, 64, 4), (2, 16, 32, 10), (4, 32, 64, 2)),
    data=DataSpec(source="digits", minival_size=100, image_size=20),
    optim=OptimSpec(steps=10, batch_size=20, lr=2e-3, weight_decay=0.1, warmup_steps=2),
    evaluation=EvalSpec(fewshot_draws=2),
    seeds=2,
)

# ours. The base is half as deep as the paper's 8 layers, its MLP twice as wide as D, as there.
_NANO = Setting(
    base=_NANO_BASE,
    lines=(
        (1, 64, 128, 4), (2, 64, 128, 4), (8, 64, 128, 4),  # depth
        (4, 32, 128, 4), (4, 96, 128, 4), (4, 128, 128, 4),  # width
        (4, 64, 64, 4), (4, 64, 256, 4), (4, 64, 512, 4),  # MLP width
        (4, 64, 128, 10), (4, 64, 128, 5), (4, 64, 128, 2),  # patch size
        (2, 32, 64, 5), (6, 96, 192, 4),  # all
    ),
    data=DataSpec(source="fashion-mnist", minival_size=1_000, image_size=20),
    optim=OptimSpec(steps=300, batch_size=50, lr=2e-3, weight_decay=0.1, warmup_steps=30),
    evaluation=EvalSpec(fewshot_draws=50),
    seeds=3,
)  # fmt: skip

_MINI = Setting(
    base=_base("ViT-base/4", 8, 192, 384, 4, heads=3, like=FAMILIES["mini"].vit[0]),
    lines=(
        (1, 192, 384, 4), (2, 192, 384, 4), (4, 192, 384, 4), (16, 192, 384, 4), (32, 192, 384, 4),
        (8, 96, 384, 4), (8, 384, 384, 4), (8, 768, 384, 4),
        (8, 192, 96, 4), (8, 192, 768, 4), (8, 192, 3072, 4),
        (8, 192, 384, 16), (8, 192, 384, 8), (8, 192, 384, 2),
        (4, 96, 192, 8), (12, 288, 576, 4),
    ),
    data=DataSpec(source="cifar10", minival_size=1_000, image_size=32, crop="inception"),
    optim=OptimSpec(steps=2_000, batch_size=512, lr=1e-3, weight_decay=0.1, warmup_steps=200),
    evaluation=EvalSpec(),
    seeds=3,
)  # fmt: skip

# Figure 8: base of 8 layers, D 1024, MLP 2048, patch 32; the values along each line are read from its compute axis
# (artifacts: 2, 4, 8, 16 layers, and 64 in the text). Table 3's ImageNet-21k row in JFT's place.
_PAPER = Setting(
    base=_base("ViT-base/32", 8, 1024, 2048, 32, heads=16, like=named("ViT-L/32", num_classes=21843)),
    lines=(
        (2, 1024, 2048, 32), (4, 1024, 2048, 32), (16, 1024, 2048, 32), (32, 1024, 2048, 32), (64, 1024, 2048, 32),
        (8, 256, 2048, 32), (8, 512, 2048, 32), (8, 2048, 2048, 32),
        (8, 1024, 512, 32), (8, 1024, 1024, 32), (8, 1024, 4096, 32), (8, 1024, 8192, 32),
        (8, 1024, 2048, 56), (8, 1024, 2048, 28), (8, 1024, 2048, 16),
        (4, 512, 1024, 56), (12, 1536, 3072, 28),
    ),
    data=DataSpec(source="imagenet-21k", minival_size=100_000, image_size=224, crop="inception"),
    optim=OptimSpec(
        steps=24_000, batch_size=4096, lr=8e-4, weight_decay=0.1, warmup_steps=10_000, loss="sigmoid", head_bias_init=-10.0
    ),
    evaluation=EvalSpec(fewshot_sources=("imagenet",)),
    seeds=1,
)  # fmt: skip

_IMAGENET = replace(
    _PAPER,
    base=resize(_PAPER.base, num_classes=1000),
    data=DataSpec(source="imagenet", minival_size=12_811, image_size=224, crop="inception"),
    optim=OptimSpec(steps=9_280, batch_size=4096, lr=1e-3, weight_decay=0.1, warmup_steps=1_000, schedule="cosine"),
    evaluation=EvalSpec(),
)

SETTINGS: dict[Scale, Setting] = {
    "smoke": _SMOKE, "nano": _NANO, "mini": _MINI, "imagenet": _IMAGENET, "paper": _PAPER,
}  # fmt: skip


def shaped(base: ViTSpec, shape: tuple[int, int, int, int]) -> ViTSpec:
    """The base with another shape; the size of a head stays, so that only what is named changes."""
    layers, dim, mlp, patch = shape
    sizes = dict(zip(DIMENSIONS, shape, strict=True))
    heads = max(1, dim * base.num_heads // base.hidden_dim)
    return ViTSpec.model_validate(
        {**dict(base), **sizes, "num_heads": heads, "name": f"ViT-{layers}x{dim}x{mlp}/{patch}"}
    )


def axis(base: ViTSpec, model: ViTSpec) -> str:
    """Which line of Figure 8 a model is on: base, depth, width, mlp, patch or all."""
    changed = [name for name in DIMENSIONS if getattr(model, name) != getattr(base, name)]
    names = {"num_layers": "depth", "hidden_dim": "width", "mlp_dim": "mlp", "patch_size": "patch"}
    return "base" if not changed else names[changed[0]] if len(changed) == 1 else "all"


def build(scale: Scale, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """Seeds outermost: a study stopped half-way has whole replicates of all cells."""
    s = SETTINGS[scale]
    models = (s.base, *(shaped(s.base, shape) for shape in s.lines))
    return tuple(
        pretrain(model, s.data, s.optim, s.evaluation, seed) for seed in range(seeds or s.seeds) for model in models
    )


SHAPE = Study(
    name="shape",
    question="Along which dimension of a ViT does compute buy most?",
    paper_items=("Figure 8",),
    claims=("C33",),
    metrics={
        scale: f"fewshot/5/{s.evaluation.fewshot_sources[0]}" if s.evaluation.fewshot_sources else "fewshot/5"
        for scale, s in SETTINGS.items()
    },
    factors={name: f"model.{name}" for name in DIMENSIONS},
    build=build,
    figures=("shape",),
)
