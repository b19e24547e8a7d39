"""What a study will cost, before anything runs: runs, images, exaFLOPs, time, memory, disk. Pure arithmetic on specs.

Compute: 1 multiply-add = 2 FLOPs, training = 3 x forward (Table 6's exaFLOPs follow this rule, models.md section 1.5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vitstudy.study.cost import activation_bytes, parameters, train_flops
from vitstudy.study.spec import RunSpec


@dataclass(frozen=True)
class Device:
    """`peak`: dense FLOP/s; `mfu`: assumed share of it that training reaches."""

    name: str
    peak: float
    mfu: float
    source: str


DEVICES: dict[str, Device] = {
    "cpu-core": Device(
        "one CPU core with bf16 instructions",
        1.4e11,
        0.4,
        "ours: 0.05-0.07 TFLOP/s sustained by ViT-n/4 on one server core",
    ),
    "a100": Device("NVIDIA A100, bf16", 312e12, 0.35, "peak: NVIDIA A100 data sheet; MFU assumed"),
    "h100": Device("NVIDIA H100 SXM, bf16", 989e12, 0.35, "peak: NVIDIA H100 data sheet; MFU assumed"),
}


@dataclass(frozen=True)
class Plan:
    """Totals over a study's runs; times assume that `devices` run in parallel without loss."""

    runs: int
    images: int
    exaflops: float
    parameters: int
    device: str
    mfu: float
    device_days: float
    hours: float
    memory_gb: float
    disk_gb: float


def plan(specs: Iterable[RunSpec], device: Device, devices: int = 1) -> Plan:
    """Price a grid.

    Memory: the largest run's weights, gradients, two Adam moments (fp32) and stored activations. Disk: two checkpoints of
    each running run and the weights of each.
    """
    specs = tuple(specs)
    flops = sum(train_flops(spec) for spec in specs)
    seconds = flops / (device.peak * device.mfu)
    largest = max((parameters(spec.model) for spec in specs), default=0)
    disk = sum(4 * parameters(spec.model) for spec in specs) + devices * 2 * 12 * largest
    return Plan(
        runs=len(specs),
        images=sum(spec.optim.steps * spec.optim.batch_size for spec in specs),
        exaflops=flops / 1e18,
        parameters=largest,
        device=f"{devices} x {device.name}",
        mfu=device.mfu,
        device_days=seconds / 86400,
        hours=seconds / 3600 / devices,
        memory_gb=max((_memory(spec) for spec in specs), default=0.0) / 1e9,
        disk_gb=disk / 1e9,
    )


def _memory(spec: RunSpec) -> float:
    return 16.0 * parameters(spec.model) + spec.optim.batch_size * activation_bytes(spec.model)
