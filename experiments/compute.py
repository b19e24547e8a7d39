"""What does a FLOP buy? Figure 5, Table 6. Claims C15, C16, C17.

Question   Which family needs least pre-training compute for an accuracy after transfer?
Grid       families x sizes x durations (paper: 7 and 14 epochs of JFT-300M) x targets x seeds; parents are shared with data_scale.
Command    make compute                    (vitstudy run compute --scale nano)
Time       nano: 30 to 40 minutes on 2 CPU cores; fewer after data_scale, whose largest pre-trainings and transfers it shares.
Expected   paper: ViT needs 2 to 4 times less compute than ResNets for equal accuracy; hybrids ahead at small budgets; no
           saturation. Published values: analysis/paper/{table6,fig5}*.csv.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from experiments.data_scale import SETTINGS as DATA_SCALE
from experiments.families import FAMILIES
from experiments.recipes import finetune, pretrain
from vitstudy.study.models import ModelSpec
from vitstudy.study.spec import RunSpec, Scale
from vitstudy.study.study import Study


@dataclass(frozen=True)
class Setting:
    """`cells`: (model, share of the steps of data_scale's pre-training)."""

    cells: tuple[tuple[ModelSpec, float], ...]
    seeds: int


def _grid(scale: Scale, durations: tuple[float, ...], seeds: int) -> Setting:
    """The families take turns, small to large, so that a part of the grid has cells of each (`--budget`)."""
    families = FAMILIES[scale]
    ranks = zip_longest(families.vit, families.resnet, families.hybrid)
    models = [model for rank in ranks for model in rank if model is not None]
    return Setting(tuple((model, share) for model in models for share in durations), seeds)


# Table 6: 7 epochs of all, 14 of the larger ones; H/14 and R200x3 14 only.
_LONG = ("ViT-L/16", "R152x2", "R50x1+ViT-L/16")
_TABLE6 = tuple(
    (model, share)
    for model in FAMILIES["paper"].all
    if model.name != "ViT-b/32"
    for share in ((1.0,) if model.name in ("ViT-H/14", "R200x3") else (0.5, 1.0) if model.name in _LONG else (0.5,))
)

SETTINGS: dict[Scale, Setting] = {
    "smoke": _grid("smoke", (0.5, 1.0), 2),
    "nano": _grid("nano", (0.5, 1.0), 3),
    "mini": _grid("mini", (0.25, 1.0), 3),
    "imagenet": _grid("imagenet", (0.5, 1.0), 3),
    "paper": Setting(_TABLE6, 1),
}


def parent(scale: Scale, model: ModelSpec, share: float, seed: int) -> RunSpec:
    """Pre-training on the largest set of data_scale, for a share of its steps; warm-up as it is there (4.1: 10k for all)."""
    setting = DATA_SCALE[scale]
    steps = round(setting.optim.steps * share)
    optim = setting.optim.model_copy(update={"steps": steps})
    return pretrain(model, setting.sets[-1], optim, setting.evaluation, seed)


def _children(scale: Scale, seed: int) -> Iterator[RunSpec]:
    setting = DATA_SCALE[scale]
    for model, share in SETTINGS[scale].cells:
        longest = max(other for name, other in SETTINGS[scale].cells if name == model)
        for target in setting.targets:
            yield finetune(
                (parent(scale, model, share, seed),), target, setting.finetuning, seed,
                tuned_from=(parent(scale, model, longest, 0),),
            )  # fmt: skip


def build(scale: Scale, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """Seed by seed: a study stopped half-way has whole replicates of all cells."""
    return tuple(spec for seed in range(seeds or SETTINGS[scale].seeds) for spec in _children(scale, seed))


COMPUTE = Study(
    name="compute",
    question="Which family needs least pre-training compute for an accuracy after transfer?",
    paper_items=("Figure 5", "Table 6"),
    claims=("C15", "C16", "C17"),
    metrics=dict.fromkeys(SETTINGS, "test/acc"),
    factors={},
    build=build,
    figures=("compute_frontier",),
)
