"""What a study will cost, before anything runs: runs, images, exaFLOPs, time, memory, disk. Pure arithmetic on specs.

Compute: 1 multiply-add = 2 FLOPs, training = 3 x forward (Table 6's exaFLOPs follow this rule, models.md section 1.5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vitstudy.study.cost import activation_bytes, parameters, train_flops
from vitstudy.study.spec import RunSpec
from vitstudy.study.timing import Spec, TimingSpec


@dataclass(frozen=True)
class Device:
    """`peak`: dense FLOP/s in the fastest precision that training here uses (bf16 or fp32); `mfu`: share of it that training
    reaches."""

    name: str
    peak: float
    mfu: float
    source: str

    @property
    def rate(self) -> float:
        """Training FLOP/s."""
        return self.peak * self.mfu


CORE_MFU = 0.2
"""Of the matmul peak of one CPU core, fp32. Ours: 0.15 to 0.35 by the models of `data_scale` at nano, the smallest lowest."""
GPU_MFU = 0.35

DEVICES: dict[str, Device] = {
    "cpu-core": Device(
        "one CPU core with AVX2, fp32",
        9.4e10,
        CORE_MFU,
        "ours: matmul peak and MFU measured on one AMD EPYC core",
    ),
    "cpu-core-bf16": Device(
        "one CPU core with bf16 instructions",
        1.4e11,
        0.4,
        "ours: 0.05-0.07 TFLOP/s sustained by ViT-n/4 on one server core",
    ),
    "a100": Device("NVIDIA A100, bf16", 312e12, GPU_MFU, "peak: NVIDIA A100 data sheet; MFU assumed"),
    "h100": Device("NVIDIA H100 SXM, bf16", 989e12, GPU_MFU, "peak: NVIDIA H100 data sheet; MFU assumed"),
    "rtx3090": Device(
        "NVIDIA GeForce RTX 3090, bf16",
        71e12,
        GPU_MFU,
        "peak: NVIDIA Ampere GA102 whitepaper, fp32 accumulation, dense; MFU assumed",
    ),
    "rtx4090": Device(
        "NVIDIA GeForce RTX 4090, bf16",
        165.2e12,
        GPU_MFU,
        "peak: NVIDIA Ada whitepaper, fp32 accumulation, dense; MFU assumed",
    ),
    "v100": Device(
        "NVIDIA V100 SXM2, fp32",
        15.7e12,
        0.5,
        "peak: NVIDIA V100 data sheet, fp32, as the card has no bf16; MFU assumed",
    ),
    "t4": Device(
        "NVIDIA T4, fp32", 8.1e12, 0.5, "peak: NVIDIA T4 data sheet, fp32, as the card has no bf16; MFU assumed"
    ),
    "tpuv3-core": Device(
        "one core of a TPUv3 chip, bf16",
        61.5e12,
        0.32,
        "peak: Google Cloud, 123 TFLOP/s a chip of two cores; MFU: ViT-H/14, 4262 exaFLOPs (Table 6) in 2500 core-days (Table 2)",
    ),
}


def measured_device(name: str, peaks: dict[str, float], mfu: float) -> Device:
    """This machine: the larger of its matmul peaks (FLOP/s by precision) and an assumed MFU."""
    precision = max(peaks, key=lambda word: peaks[word])
    shown = ", ".join(f"{word} {peak / 1e9:,.3g} GFLOP/s" for word, peak in peaks.items())
    return Device(f"{name}, {precision}", peaks[precision], mfu, f"matmul peak measured here: {shown}; MFU assumed")


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


def plan(specs: Iterable[Spec], device: Device, devices: int = 1) -> Plan:
    """Price a grid.

    Memory: the largest run's weights, gradients, two Adam moments (fp32) and stored activations; of a timing run, its limit.
    Disk: two checkpoints of each running run and the weights of each. Timing runs are priced by the limits they set themselves.
    """
    specs = tuple(specs)
    trained = [spec for spec in specs if isinstance(spec, RunSpec)]
    flops = sum(train_flops(spec) for spec in trained)
    seconds = flops / device.rate + sum(timing_seconds(spec) for spec in specs if isinstance(spec, TimingSpec))
    disk = sum(4 * parameters(spec.model) for spec in trained)
    disk += devices * 2 * 12 * max((parameters(spec.model) for spec in trained), default=0)
    return Plan(
        runs=len(specs),
        images=sum(spec.images_seen for spec in trained),
        exaflops=flops / 1e18,
        parameters=max((parameters(spec.model) for spec in specs), default=0),
        device=f"{devices} x {device.name}",
        mfu=device.mfu,
        device_days=seconds / 86400,
        hours=seconds / 3600 / devices,
        memory_gb=max((_memory(spec) for spec in specs), default=0.0) / 1e9,
        disk_gb=disk / 1e9,
    )


def timing_seconds(spec: TimingSpec) -> float:
    """About: its timed passes and the limit of its search for the largest batch."""
    return len(spec.batch_sizes) * spec.seconds + spec.search_seconds


def _memory(spec: Spec) -> float:
    if isinstance(spec, TimingSpec):
        return float(spec.memory_limit or 0)
    return 16.0 * parameters(spec.model) + spec.optim.batch_size * activation_bytes(spec.model)
