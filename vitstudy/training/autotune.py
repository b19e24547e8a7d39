"""Which precision, attention kernel and memory layout is fastest here: measured for a second or two, not assumed.

Fused attention's backward pass is slow in bf16 on CPUs; bf16 without the right instructions is slower than float32.
"""

from __future__ import annotations

import time
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
    "attention": ("fused", "plain"),
    "layout": ("channels-first", "channels-last"),
}
"""Field of `Execution` -> what `auto` may become. The last is taken where a family has no use for the field."""


def measure(spec: RunSpec, execution: Execution, seconds: float = 0.4) -> list[tuple[dict[str, str], float]]:
    """(choice of every field, images/s of whole training steps) for every allowed combination."""
    return [
        (choice, _speed(spec, execution.model_copy(update=choice), seconds))
        for choice in combinations(spec.model.family, execution)
    ]


def combinations(family: str, execution: Execution) -> list[dict[str, str]]:
    """Every choice of the fields of `OPTIONS` that `execution` leaves open and that makes a difference to the family."""
    useful = ("precision", *MODULES[family].choices)
    values = []
    for field, options in OPTIONS.items():
        given = getattr(execution, field)
        values.append(
            options if given == "auto" and field in useful else (options[-1],) if given == "auto" else (given,)
        )
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
    steps, start = 0, time.perf_counter()
    while steps < 2 or time.perf_counter() - start < seconds:
        step()
        steps += 1
    return steps * batch / (time.perf_counter() - start)
