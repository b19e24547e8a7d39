"""How studies pre-train and fine-tune at each scale: the paper's protocol (4.1, B.1.1; Tables 3 and 4), its numbers where they fit.

Pre-training: Adam with decoupled decay, linear warm-up and decay, MLP head. Fine-tuning: SGD with momentum 0.9, cosine, no
decay, clip 1, a new zero-initialised linear head, a higher resolution; the learning rate is chosen from Table 4's grid on a
dev split of train, then the final run uses all of train. Small scales use fewer and shorter steps: ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from experiments.families import resize
from vitstudy.study.models import ModelSpec
from vitstudy.study.spec import DataSpec, EvalSpec, OptimSpec, RunSpec, TransferSpec


@dataclass(frozen=True)
class Target:
    """A data set that networks are transferred to. `dev`: images of train held out to choose the learning rate by."""

    source: str
    classes: int
    dev: int
    steps: int
    rates: tuple[float, ...]
    test_size: int | None = None


@dataclass(frozen=True)
class Finetuning:
    """What all transfers of a scale share."""

    image_size: int
    batch_size: int
    warmup: float
    """Share of the steps (released code: 500 of 10,000)."""
    crop: str = "none"
    flip: bool = True
    eval_batch: int = 500


def pretrain(model: ModelSpec, data: DataSpec, optim: OptimSpec, evaluation: EvalSpec, seed: int) -> RunSpec:
    """A pre-training run: `model` made to fit the data's size, channels and classes."""
    classes = data.fractals.classes if data.fractals else model.num_classes
    channels = data.channels or model.in_chans
    fitted = resize(model, image_size=data.image_size, in_chans=channels, num_classes=classes)
    return RunSpec(model=fitted, data=data, optim=optim, eval=evaluation, seed=seed)


def finetune(
    parents: Sequence[RunSpec], target: Target, how: Finetuning, seed: int,
    *, tuned_from: Sequence[RunSpec] | None = None, posemb: str = "interpolate",
) -> RunSpec:  # fmt: skip
    """The final transfer of the best of `parents`. The rate is chosen with seed 0, from `tuned_from` (else from `parents`)."""
    tuning = _tuning(tuple(parents if tuned_from is None else tuned_from), target, how, posemb)
    return _child(parents, target, how, seed, lr=target.rates[0], minival_size=0, posemb=posemb, tuning=tuning)


@cache
def _tuning(sources: tuple[RunSpec, ...], target: Target, how: Finetuning, posemb: str) -> tuple[RunSpec, ...]:
    """The same for every seed, and built once: `vitstudy list` builds all studies at all scales."""
    return tuple(
        _child(sources, target, how, 0, lr=rate, minival_size=target.dev, posemb=posemb) for rate in target.rates
    )


def _child(
    parents: Sequence[RunSpec], target: Target, how: Finetuning, seed: int,
    *, lr: float, minival_size: int, posemb: str, tuning: tuple[RunSpec, ...] = (),
) -> RunSpec:  # fmt: skip
    body: Any = parents[0].model
    size = how.image_size - how.image_size % getattr(
        body, "patch_size", 1
    )  # H/14 at 384: 378 (released code, VALID padding)
    model = resize(body, image_size=size, num_classes=target.classes, prelogits=False, dropout=0.0)
    return RunSpec(
        model=model,
        data=DataSpec(
            source=target.source, minival_size=minival_size, image_size=size, channels=body.in_chans,
            crop=how.crop, flip=how.flip, test_size=target.test_size,
        ),
        optim=OptimSpec(
            algorithm="sgd", steps=target.steps, batch_size=how.batch_size, lr=lr, weight_decay=0.0,
            warmup_steps=int(how.warmup * target.steps), schedule="cosine",
        ),
        eval=EvalSpec(fewshot=(), batch_size=how.eval_batch),
        seed=seed,
        transfer=TransferSpec(parents=tuple(parents), tuning=tuning, posemb=posemb),
    )  # fmt: skip
