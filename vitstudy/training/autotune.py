"""Which precision and attention kernel is fastest here: measured for a second or two, not assumed.

Fused attention's backward pass is slow in bf16 on CPUs; bf16 without the right instructions is slower than float32.
"""

from __future__ import annotations

import time
from itertools import product
from typing import Literal

import torch

from vitstudy.data.keyed import generator
from vitstudy.models.factory import build
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.training.optim import build_optimizer, loss

Precision = Literal["fp32", "bf16"]
Kernel = Literal["fused", "plain"]


def measure(spec: RunSpec, execution: Execution, seconds: float = 0.4) -> dict[str, float]:
    """images/s of whole training steps for each allowed ``"precision/kernel"``."""
    precisions = ("fp32", "bf16") if execution.precision == "auto" else (execution.precision,)
    kernels = ("fused", "plain") if execution.attention == "auto" else (execution.attention,)
    return {f"{p}/{k}": _speed(spec, execution.device, p, k, seconds) for p, k in product(precisions, kernels)}


def _speed(spec: RunSpec, device: str, precision: str, kernel: str, seconds: float) -> float:
    model, batch = spec.model, spec.optim.batch_size
    net = build(model, lambda name: generator(0, name)).to(device)
    net.set_attention_kernel(kernel == "fused")
    optimizer = build_optimizer(net, spec.optim)
    x = torch.randn(batch, model.in_chans, model.image_size, model.image_size, device=device)
    y = torch.zeros(batch, dtype=torch.long, device=device)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            value = loss(net(x).float(), y, spec.optim.loss)
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
