"""How fast do the models infer, and what batch fits? Figure 12 (D.5). Claims C41, C42, C43, C47.

Question   Inference images/s and the largest batch of ViTs and ResNets, against input size, on the device at hand.
Grid       models x input sizes x repeats; nothing is trained. One run at a time with all threads: let nothing else run.
Command    make timing                     (vitstudy run timing --scale nano)
Time       nano: at most 5 minutes on 2 CPU cores.
Expected   paper, on TPUv3: ViT as fast as ResNets of like size; cost in pixels only begins to rise faster than their number; ViT
           fits larger batches. Published values: analysis/paper/fig12_speed_memory.csv.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.families import FAMILIES, resize
from vitstudy.study.models import ModelSpec
from vitstudy.study.spec import Scale
from vitstudy.study.study import Study
from vitstudy.study.timing import Spec, TimingSpec
from vitstudy.study.zoo import named


@dataclass(frozen=True)
class Setting:
    """`sizes`: input sizes in pixels, each taken to the nearest multiple of a patch; the rest as in `TimingSpec`."""

    models: tuple[ModelSpec, ...]
    sizes: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    seconds: float
    search_seconds: float
    memory_limit: int
    repeats: int
    largest_batch: int = 1024


def _ends(scale: Scale) -> tuple[ModelSpec, ...]:
    """Smallest and largest of each family."""
    families = FAMILIES[scale]
    return tuple(
        model for family in (families.vit, families.resnet, families.hybrid) for model in (family[0], family[-1])
    )


# Figure 12's models and sizes. 16 GiB is what one TPUv3 core has; an accelerator's own memory takes its place.
_PAPER = Setting(
    models=tuple(
        named(name) for name in ("R50x1", "R50x2", "R152x4", "ViT-B/32", "ViT-L/32", "ViT-B/16", "ViT-L/16", "ViT-H/14")
    ),
    sizes=(64, 128, 224, 384, 512),
    batch_sizes=(8, 32, 128, 512),
    seconds=3.0,
    search_seconds=600.0,
    memory_limit=2**34,
    repeats=3,
)

SETTINGS: dict[Scale, Setting] = {
    "smoke": Setting(
        models=(FAMILIES["smoke"].vit[0], FAMILIES["smoke"].resnet[0]), sizes=(20, 28), batch_sizes=(2, 8), seconds=0.02,
        search_seconds=10.0, memory_limit=2**26, repeats=2, largest_batch=16,
    ),
    "nano": Setting(
        models=_ends("nano"), sizes=(20, 28, 40, 56, 80), batch_sizes=(4, 16), seconds=0.5,
        search_seconds=6.0, memory_limit=2**26, repeats=3,
    ),
    "mini": Setting(
        models=FAMILIES["mini"].all, sizes=(32, 48, 64, 96, 128), batch_sizes=(4, 16, 64), seconds=1.0,
        search_seconds=120.0, memory_limit=2**31, repeats=3,
    ),
    "imagenet": _PAPER,
    "paper": _PAPER,
}  # fmt: skip


def _repeat(s: Setting, seed: int) -> Iterator[TimingSpec]:
    for model in s.models:
        for size in s.sizes:
            # H/14 as in Figure 12: 70, 126, 224, 378, 518; the nearest multiple of 14
            patch = getattr(model, "patch_size", 1)
            yield TimingSpec(
                model=resize(model, image_size=int(size / patch + 0.5) * patch), batch_sizes=s.batch_sizes,
                seconds=s.seconds, search_seconds=s.search_seconds, largest_batch=s.largest_batch,
                memory_limit=s.memory_limit, seed=seed,
            )  # fmt: skip


def build(scale: Scale, seeds: int | None = None) -> tuple[Spec, ...]:
    """Repeats outermost: what changes on the machine meanwhile meets all cells alike."""
    setting = SETTINGS[scale]
    return tuple(spec for seed in range(seeds or setting.repeats) for spec in _repeat(setting, seed))


TIMING = Study(
    name="timing",
    question="How fast do ViTs and ResNets infer, and what batch fits, against input size?",
    paper_items=("Figure 12",),
    claims=("C41", "C42", "C43", "C47"),
    metrics=dict.fromkeys(SETTINGS, "timing/images_per_s"),
    factors={"image_size": "model.image_size"},
    build=build,
    figures=("timing",),
    exclusive=True,
)
