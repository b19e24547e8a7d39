"""Fine-tuning at a higher resolution (section 3.2, B.1.1): claim C38.

Question   Does a higher resolution in fine-tuning help, and does it need 2-D interpolation of the position embeddings?
Grid       fine-tuning at 1x, 1.5x, 2x the pre-training resolution x position embeddings interpolated or drawn anew x seeds;
           one ViT, pre-trained on the data set that it is fine-tuned on, as the paper does with ImageNet.
Command    make resolution                 (vitstudy run resolution --scale nano)
Time       nano: at most 10 minutes on 2 CPU cores.
Expected   paper (text only, no numbers): higher helps; 384 px after 224 px is its default. `reset` below `interpolate`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from experiments.families import FAMILIES
from experiments.recipes import Finetuning, Target, finetune, pretrain
from vitstudy.study.models import ModelSpec
from vitstudy.study.spec import DataSpec, EvalSpec, OptimSpec, RunSpec, Scale
from vitstudy.study.study import Study


@dataclass(frozen=True)
class Setting:
    """`sizes`: pixels of fine-tuning; the first is that of pre-training."""

    model: ModelSpec
    data: DataSpec
    optim: OptimSpec
    target: Target
    finetuning: Finetuning
    sizes: tuple[int, ...]
    seeds: int


# ours: smoke and nano have no paper counterpart. 16 px / patch 4 = 4 x 4 tokens; 24 and 32 px give 6 x 6 and 8 x 8.
_SMOKE = Setting(
    model=FAMILIES["smoke"].vit[0],
    data=DataSpec(source="digits", minival_size=100, image_size=8),
    optim=OptimSpec(steps=10, batch_size=20, lr=2e-3, weight_decay=0.1, warmup_steps=2),
    target=Target("digits", 10, dev=100, steps=10, rates=(0.01, 0.03)),
    finetuning=Finetuning(image_size=8, batch_size=20, warmup=0.1),
    sizes=(8, 12, 16),
    seeds=2,
)

_NANO = Setting(
    model=FAMILIES["nano"].vit[1],
    data=DataSpec(source="fashion-mnist", minival_size=1_000, image_size=16),
    optim=OptimSpec(steps=400, batch_size=50, lr=2e-3, weight_decay=0.1, warmup_steps=40),
    target=Target("fashion-mnist", 10, dev=1_000, steps=150, rates=(0.003, 0.01, 0.03, 0.06)),
    finetuning=Finetuning(image_size=16, batch_size=50, warmup=0.05),
    sizes=(16, 24, 32),
    seeds=3,
)

_MINI = Setting(
    model=FAMILIES["mini"].vit[0],
    data=DataSpec(source="cifar10", minival_size=1_000, image_size=24, crop="inception"),
    optim=OptimSpec(steps=4_000, batch_size=512, lr=1e-3, weight_decay=0.1, warmup_steps=400),
    target=Target("cifar10", 10, dev=1_000, steps=1_000, rates=(0.001, 0.003, 0.01, 0.03)),
    finetuning=Finetuning(image_size=24, batch_size=512, warmup=0.05, crop="inception"),
    sizes=(24, 36, 48),
    seeds=3,
)

# Table 3, row "ViT-* ImageNet", 90 epochs (ours); Table 4, row ImageNet. 224, 336, 448 px: 1x, 1.5x, 2x.
_IMAGENET = Setting(
    model=FAMILIES["imagenet"].vit[0],
    data=DataSpec(source="imagenet", minival_size=12_811, image_size=224, crop="inception"),
    optim=OptimSpec(steps=27_840, batch_size=4096, lr=3e-3, weight_decay=0.3, warmup_steps=3_000, schedule="cosine"),
    target=Target("imagenet", 1000, dev=12_811, steps=20_000, rates=(0.003, 0.01, 0.03, 0.06)),
    finetuning=Finetuning(image_size=224, batch_size=512, warmup=0.05, crop="inception"),
    sizes=(224, 336, 448),
    seeds=3,
)

# Table 3: 300 epochs of ImageNet, 10k warm-up.
_PAPER = replace(
    _IMAGENET,
    model=FAMILIES["paper"].named("ViT-B/16")[0],
    optim=OptimSpec(steps=94_000, batch_size=4096, lr=3e-3, weight_decay=0.3, warmup_steps=10_000, schedule="cosine"),
    seeds=1,
)

SETTINGS: dict[Scale, Setting] = {
    "smoke": _SMOKE, "nano": _NANO, "mini": _MINI, "imagenet": _IMAGENET, "paper": _PAPER,
}  # fmt: skip


def _children(setting: Setting, seed: int) -> Iterator[RunSpec]:
    parent, first = (
        pretrain(setting.model, setting.data, setting.optim, EvalSpec(fewshot=()), number) for number in (seed, 0)
    )
    for size in setting.sizes:
        how = replace(setting.finetuning, image_size=size)
        for posemb in ("interpolate", "reset"):
            yield finetune((parent,), setting.target, how, seed, tuned_from=(first,), posemb=posemb)


def build(scale: Scale, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """Seed by seed: a study stopped half-way has whole replicates of all cells."""
    setting = SETTINGS[scale]
    return tuple(spec for seed in range(seeds or setting.seeds) for spec in _children(setting, seed))


RESOLUTION = Study(
    name="resolution",
    question="Does fine-tuning at a higher resolution help, and does it need interpolated position embeddings?",
    paper_items=("Section 3.2",),
    claims=("C38",),
    metrics=dict.fromkeys(SETTINGS, "test/acc"),
    factors={},
    build=build,
    figures=("resolution",),
)
