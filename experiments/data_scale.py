"""How much data does a ViT need? Figure 4 (few-shot), Figure 3 and Table 5 (fine-tuning). Claims C6-C12 (C48).

Question   With little pre-training data the ResNet wins, with much the ViT does: is it so at this scale?
Grid       Figure 4: families x pre-training sizes x seeds; the same hyper-parameters for all sizes, nothing added against
           over-fitting, early stopping on minival; 5-shot linear on frozen features.
           Figure 3: models x pre-training sets x targets x seeds, fine-tuned at a higher resolution; for the smallest set
           weight decay, dropout and label smoothing are chosen on minival among two; the learning rate on a dev split of the
           target, for each model and target once: with the first seed of the largest set (ours; the paper does not say).
Command    make data-scale                 (vitstudy run data_scale --scale nano)
Time       nano: about 45 minutes on 2 CPU cores (few-shot part: at most 30); mini: one data-centre GPU.
Expected   paper: ResNet ahead at 9 M JFT images by 10 points, ViT ahead from 90 M on. A tiny ViT may never overtake a tiny
           ResNet: that would be a finding. Published values: analysis/paper/{fig4,fig3,table5}*.csv.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.families import FAMILIES, resize
from experiments.recipes import Finetuning, Target, finetune, pretrain
from vitstudy.study.models import ModelSpec
from vitstudy.study.spec import DataSpec, EvalSpec, FractalSpec, OptimSpec, RunSpec, Scale
from vitstudy.study.study import Study


@dataclass(frozen=True)
class Setting:
    """What the study is made of at one scale. `sets`: pre-training sets of Figure 3, small to large; `subsets`: of Figure 4."""

    fewshot_models: tuple[ModelSpec, ...]
    finetune_models: tuple[ModelSpec, ...]
    subsets: tuple[DataSpec, ...]
    sets: tuple[DataSpec, ...]
    optim: OptimSpec
    evaluation: EvalSpec
    targets: tuple[Target, ...]
    finetuning: Finetuning
    seeds: int


def fractals(classes: int, instances: int, **data: object) -> DataSpec:
    """A pre-training set of classes x instances fractals."""
    fields = {"points": 2500, "channels": 1, **data}
    own = {name: fields.pop(name) for name in ("points", "channels")}
    return DataSpec.model_validate(
        {"source": "fractals", "fractals": FractalSpec(classes=classes, instances=instances, **own), "test_size": 1000}
        | fields
    )


def _subset(source: str, size: int | None, **data: object) -> DataSpec:
    return DataSpec.model_validate({"source": source, "train_size": size, **data})


_SMOKE = Setting(
    fewshot_models=FAMILIES["smoke"].all,
    finetune_models=FAMILIES["smoke"].all,
    subsets=tuple(_subset("digits", size, minival_size=100, image_size=20) for size in (50, 400)),
    sets=tuple(fractals(4, n, points=300, image_size=20, minival_size=20, test_size=20) for n in (5, 20)),
    optim=OptimSpec(steps=10, batch_size=20, lr=2e-3, weight_decay=0.1, warmup_steps=2, early_stopping_every=5),
    evaluation=EvalSpec(fewshot_sources=("digits",), fewshot_draws=2),
    targets=(Target("digits", 10, dev=100, steps=10, rates=(0.01, 0.03)),),
    finetuning=Finetuning(image_size=28, batch_size=20, warmup=0.1),
    seeds=2,
)

# ours: no paper counterpart. Table 4's grid of ImageNet for the learning rates. 25 classes of fractals: with 20,000 images
# seen, more are hardly learned (pilot, ViT-t/4, 200 classes: 3 % on minival), so the axis is instances here.
_NANO_DATA = {"image_size": 20, "minival_size": 1000}
_NANO = Setting(
    fewshot_models=FAMILIES["nano"].named("ViT-t/4", "R14-t", "R8+ViT-t/4"),
    finetune_models=FAMILIES["nano"].named("ViT-t/4", "ViT-n/4", "R14-t", "R14-n", "R8+ViT-t/4"),
    subsets=tuple(_subset("fashion-mnist", n, **_NANO_DATA) for n in (500, 1_500, 5_000, 16_000, 55_000)),
    sets=tuple(fractals(25, n, **_NANO_DATA) for n in (40, 400, 4_000)),
    optim=OptimSpec(steps=400, batch_size=50, lr=2e-3, weight_decay=0.1, warmup_steps=40, early_stopping_every=100),
    evaluation=EvalSpec(fewshot_sources=("fashion-mnist", "digits"), fewshot_draws=5),
    targets=(
        Target("fashion-mnist", 10, dev=1_000, steps=150, rates=(0.003, 0.01, 0.03, 0.06)),
        Target("digits", 10, dev=130, steps=75, rates=(0.003, 0.01, 0.03, 0.06)),
    ),
    finetuning=Finetuning(image_size=28, batch_size=50, warmup=0.05),
    seeds=3,
)

# ours, the fractals in JFT's place; CIFAR-10's grid and dev split (2 %) of Table 4. Grey targets are shown as RGB.
_MINI_DATA = {"image_size": 32, "minival_size": 5_000, "channels": 3, "crop": "inception"}
_MINI = Setting(
    fewshot_models=FAMILIES["mini"].all,
    finetune_models=FAMILIES["mini"].all,
    subsets=tuple(
        fractals(c, n, **_MINI_DATA) for c, n in ((100, 100), (300, 333), (1_000, 1_000), (3_000, 1_000), (10_000, 1_000))
    ),
    sets=tuple(fractals(c, n, **_MINI_DATA) for c, n in ((100, 100), (1_000, 1_000), (10_000, 1_000))),
    optim=OptimSpec(
        steps=4_000, batch_size=512, lr=1e-3, weight_decay=0.1, warmup_steps=400, early_stopping_every=400
    ),
    evaluation=EvalSpec(fewshot_sources=("cifar10", "fashion-mnist")),
    targets=(
        Target("cifar10", 10, dev=1_000, steps=1_000, rates=(0.001, 0.003, 0.01, 0.03)),
        Target("fashion-mnist", 10, dev=1_200, steps=1_000, rates=(0.001, 0.003, 0.01, 0.03)),
    ),
    finetuning=Finetuning(image_size=48, batch_size=512, warmup=0.05, crop="inception"),
    seeds=3,
)  # fmt: skip

_CIFAR = (0.001, 0.003, 0.01, 0.03)
_TARGETS = (
    Target("imagenet", 1000, dev=12_811, steps=20_000, rates=(0.003, 0.01, 0.03, 0.06)),
    Target("cifar10", 10, dev=1_000, steps=10_000, rates=_CIFAR),
    Target("cifar100", 100, dev=1_000, steps=10_000, rates=_CIFAR),
    Target("pets", 37, dev=368, steps=500, rates=_CIFAR),
    Target("flowers102", 102, dev=204, steps=500, rates=_CIFAR),
)
"""Table 4, with the dev splits of B.1.1: 1 % of ImageNet, 2 % of CIFAR, 10 % of Pets and Flowers."""

# Table 3, row "ViT-* ImageNet", with 90 epochs and warm-up in proportion (ours), on 10, 30 and 100 % of ImageNet.
_IMAGENET_DATA = {"image_size": 224, "minival_size": 12_811, "crop": "inception"}
_IMAGENET = Setting(
    fewshot_models=FAMILIES["imagenet"].all,
    finetune_models=FAMILIES["imagenet"].all,
    subsets=tuple(_subset("imagenet", n, **_IMAGENET_DATA) for n in (12_800, 40_000, 128_000, 400_000, 1_268_356)),
    sets=tuple(_subset("imagenet", n, **_IMAGENET_DATA) for n in (128_000, 400_000, 1_268_356)),
    optim=OptimSpec(
        steps=27_840, batch_size=4096, lr=3e-3, weight_decay=0.1, warmup_steps=3_000, schedule="cosine",
        early_stopping_every=1_392,
    ),
    evaluation=EvalSpec(fewshot_sources=("imagenet",)),
    targets=_TARGETS,
    finetuning=Finetuning(image_size=384, batch_size=512, warmup=0.05, crop="inception"),
    seeds=3,
)  # fmt: skip

# Figure 4 uses 3, 10, 30 and 100 % of JFT-300M (private): the same shares of ImageNet-21k stand in. Table 3, ImageNet-21k:
# lr 1e-3, linear, 90 epochs; weight decay 0.1 and no dropout, since nothing is added against over-fitting (4.3).
_PAPER_DATA = {"image_size": 224, "minival_size": 100_000, "crop": "inception"}
_PAPER = Setting(
    fewshot_models=FAMILIES["paper"].named("ViT-b/32", "ViT-B/32", "ViT-L/32", "ViT-L/16", "R50x1", "R152x2"),
    finetune_models=FAMILIES["paper"].named(
        "ViT-B/32", "ViT-B/16", "ViT-L/32", "ViT-L/16", "ViT-H/14", "R50x1", "R152x2", "R50x1+ViT-B/16"
    ),
    subsets=tuple(_subset("imagenet-21k", n, **_PAPER_DATA) for n in (423_000, 1_410_000, 4_230_000, 14_097_122)),
    sets=(
        _subset("imagenet", 1_268_356, **{**_PAPER_DATA, "minival_size": 12_811}),
        _subset("imagenet-21k", 14_097_122, **_PAPER_DATA),
    ),
    optim=OptimSpec(
        steps=308_000, batch_size=4096, lr=1e-3, weight_decay=0.1, warmup_steps=10_000, loss="sigmoid", head_bias_init=-10.0,
        early_stopping_every=15_400,
    ),
    evaluation=EvalSpec(fewshot_sources=("imagenet",)),
    targets=_TARGETS,
    finetuning=Finetuning(image_size=384, batch_size=512, warmup=0.05, crop="inception"),
    seeds=1,
)  # fmt: skip

SETTINGS: dict[Scale, Setting] = {
    "smoke": _SMOKE, "nano": _NANO, "mini": _MINI, "imagenet": _IMAGENET, "paper": _PAPER,
}  # fmt: skip


def upstream(setting: Setting, model: ModelSpec, data: DataSpec, seed: int) -> RunSpec:
    """The pre-training of Figure 4, shared by all studies of the scale that need it."""
    return pretrain(model, data, setting.optim, setting.evaluation, seed)


def candidates(setting: Setting, model: ModelSpec, data: DataSpec, seed: int) -> tuple[RunSpec, ...]:
    """What Figure 3 chooses among: Figure 4's run, and for the smallest set one with more against over-fitting."""
    plain = upstream(setting, model, data, seed)
    if data != setting.sets[0]:
        return (plain,)
    smoothing = 0.1 if setting.optim.loss == "softmax" else 0.0
    optim = setting.optim.model_copy(update={"weight_decay": 0.3, "label_smoothing": smoothing})  # Table 3: ImageNet
    regularised = pretrain(resize(model, dropout=0.1), data, optim, setting.evaluation, seed)
    return plain, regularised


def _fewshot_part(setting: Setting, seed: int) -> Iterator[RunSpec]:
    for data in dict.fromkeys((*setting.subsets, *setting.sets)):
        for model in setting.fewshot_models:
            yield upstream(setting, model, data, seed)


def _finetune_part(setting: Setting, seed: int) -> Iterator[RunSpec]:
    for model in setting.finetune_models:
        tuned_from = candidates(setting, model, setting.sets[-1], 0)
        for data in setting.sets:
            for target in setting.targets:
                parents = candidates(setting, model, data, seed)
                yield finetune(parents, target, setting.finetuning, seed, tuned_from=tuned_from)


def build(scale: Scale, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """Figure 4 first, seed by seed; then Figure 3, seed by seed."""
    setting = SETTINGS[scale]
    chosen = range(seeds or setting.seeds)
    parts = (_fewshot_part, _finetune_part)
    return tuple(spec for part in parts for seed in chosen for spec in part(setting, seed))


DATA_SCALE = Study(
    name="data_scale",
    question="How much pre-training data does a ViT need to beat a ResNet?",
    paper_items=("Figure 3", "Figure 4", "Table 5"),
    claims=("C6", "C7", "C8", "C9", "C10", "C11", "C12"),
    metrics={scale: f"fewshot/5/{setting.evaluation.fewshot_sources[0]}" for scale, setting in SETTINGS.items()},
    factors={},
    build=build,
    figures=("data_scale_fewshot", "data_scale_finetune"),
)
