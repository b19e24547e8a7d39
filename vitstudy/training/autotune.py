"""Which precision, attention kernel and memory layout is fastest here: measured for a second or two, not assumed.

Fused attention's backward pass is slow in bf16 on CPUs; bf16 without the right instructions is slower than float32.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch

from vitstudy.data.keyed import generator
from vitstudy.models.factory import build
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.training.modules import MODULES
from vitstudy.training.optim import build_optimizer, loss

OPTIONS: dict[str, tuple[str, ...]] = {
    "precision": ("fp32", "bf16"),
    "attention": ("plain", "fused"),
    "layout": ("channels-last", "channels-first"),
}
"""Field of `Execution` -> what `auto` may become. The first is taken where a family has no use for the field, and in a tie."""
TIE = 1.1
"""Within this ratio speeds are equal: rounding differs by kernel, so two stores of one machine should choose alike."""
ROUNDS = 3
"""Turns that each choice gets: a burst of other work then slows no single choice throughout."""


def measure(spec: RunSpec, execution: Execution, seconds: float = 0.4) -> list[tuple[dict[str, str], float]]:
    """(choice of every field, images/s of its fastest training step) for every allowed combination, `seconds` for each."""
    choices = combinations(spec.model.family, execution)
    turns = [
        [_speed(spec, execution.model_copy(update=choice), seconds / ROUNDS) for choice in choices]
        for _ in range(ROUNDS)
    ]
    return [(choice, max(speeds)) for choice, *speeds in zip(choices, *turns, strict=True)]


def fastest(found: Sequence[tuple[dict[str, str], float]]) -> dict[str, str]:
    """Of `measure`'s answer the first choice that no other exceeds by more than `TIE`."""
    best = max(speed for _, speed in found)
    return next(choice for choice, speed in found if speed * TIE >= best)


def combinations(family: str, execution: Execution) -> list[dict[str, str]]:
    """Every choice of the fields of `OPTIONS` that `execution` leaves open and that makes a difference to the family."""
    useful = ("precision", *MODULES[family].choices)
    values = []
    for field, options in OPTIONS.items():
        given = getattr(execution, field)
        values.append(options if given == "auto" and field in useful else options[:1] if given == "auto" else (given,))
    return [dict(zip(OPTIONS, combination, strict=True)) for combination in product(*values)]


def _speed(spec: RunSpec, execution: Execution, seconds: float) -> float:
    model, batch, device = spec.model, spec.optim.batch_size, execution.device
    net = build(model, lambda name: generator(0, name)).to(device)
    MODULES[model.family](net, spec).prepare(execution)
    optimizer = build_optimizer(net, spec.optim)
    x = torch.randn(batch, model.in_chans, model.image_size, model.image_size, device=device)
    y = torch.zeros(batch, dtype=torch.long, device=device)

    def step() -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=execution.precision == "bf16"):
            value = loss(net(x).float(), y, spec.optim)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    step()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return batch / min(times)
