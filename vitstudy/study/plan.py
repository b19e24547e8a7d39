"""What a study will cost, before anything runs: runs, images, exaFLOPs, time, memory, disk. Pure arithmetic on specs.

Compute: 1 multiply-add = 2 FLOPs, training = 3 x forward (Table 6's exaFLOPs follow this rule, models.md section 1.5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vitstudy.study.spec import ModelSpec, RunSpec


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


def forward_flops(model: ModelSpec) -> int:
    """FLOPs of one image's forward pass: patch embedding, L x (qkv, attention, projection, MLP), hidden layer, head."""
    patches, dim = model.grid[0] * model.grid[1], model.hidden_dim
    tokens = patches + (model.pool == "cls")
    embed = patches * model.patch_size**2 * model.in_chans * dim
    block = 4 * tokens * dim**2 + 2 * tokens**2 * dim + 2 * tokens * dim * model.mlp_dim
    if model.posemb == "relative":
        block += patches**2 * dim
    head = dim**2 * model.prelogits + dim * model.num_classes
    return 2 * (embed + model.num_layers * block + head)


def parameters(model: ModelSpec) -> int:
    """Learned numbers, position embedding included."""
    patches, dim, prefix = model.grid[0] * model.grid[1], model.hidden_dim, int(model.pool == "cls")
    embed = model.patch_size**2 * model.in_chans * dim + dim + prefix * dim
    block = 4 * (dim**2 + dim) + 2 * dim * model.mlp_dim + dim + model.mlp_dim + 4 * dim
    head = (dim**2 + dim) * model.prelogits + (dim + 1) * model.num_classes
    return embed + model.num_layers * block + 2 * dim + head + _posemb_parameters(model, patches, prefix)


def _posemb_parameters(model: ModelSpec, patches: int, prefix: int) -> int:
    tables = model.num_layers if model.posemb_at == "every-layer" else 1
    if model.posemb == "1d":
        return tables * (patches + prefix) * model.hidden_dim
    if model.posemb == "2d":
        return tables * (sum(model.grid) * model.hidden_dim // 2 + prefix * model.hidden_dim)
    if model.posemb == "relative":
        return model.num_layers * (2 * patches - 1) * (model.hidden_dim // model.num_heads)
    return 0


def train_flops(spec: RunSpec) -> int:
    """FLOPs of a whole run's training."""
    return 3 * forward_flops(spec.model) * spec.optim.steps * spec.optim.batch_size


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

    Memory: the largest run's weights, gradients, two Adam moments (fp32) and stored activations (bf16, 34 numbers per token and
    channel and layer plus the attention maps: an upper estimate without recomputation). Disk: two checkpoints of each
    running run and the weights of each.
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
    model = spec.model
    tokens = model.grid[0] * model.grid[1] + 1
    per_image = model.num_layers * (34 * tokens * model.hidden_dim + 5 * model.num_heads * tokens**2)
    return 16.0 * parameters(model) + spec.optim.batch_size * per_image
