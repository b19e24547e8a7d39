"""Loss, optimiser and learning rate. The rate is a pure function of the step: nothing to save, nothing to restore.

Decay is decoupled and multiplied by the learning rate, as in torch's AdamW; the released code applies it to all parameters
(models.md section 2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitstudy.study.spec import OptimSpec


def lr_at(spec: OptimSpec, step: int) -> float:
    """Learning rate of optimiser step `step` (0-based).

    Linear warm-up from 0, as a factor on the decay; decay counted from the end of warm-up to `steps` (vit_jax, utils.py).
    """
    progress = max(0.0, (step - spec.warmup_steps) / max(1, spec.steps - spec.warmup_steps))
    if spec.schedule == "linear":
        lr = spec.end_lr + (spec.lr - spec.end_lr) * (1 - progress)
    elif spec.schedule == "cosine":
        lr = spec.lr * 0.5 * (1 + math.cos(math.pi * progress))
    else:
        lr = spec.lr
    return lr * min(1.0, step / spec.warmup_steps) if spec.warmup_steps else lr


def decayed(parameters: Iterable[tuple[str, nn.Parameter]], spec: OptimSpec) -> tuple[list[str], list[str]]:
    """(names with decay, names without), by `decay_mask`: all, or matrices and convolution kernels only."""
    with_decay: list[str] = []
    without: list[str] = []
    for name, parameter in parameters:
        kernel = parameter.ndim >= 2 and name.endswith("weight")
        (with_decay if spec.decay_mask == "all" or kernel else without).append(name)
    return with_decay, without


def build_optimizer(net: nn.Module, spec: OptimSpec) -> torch.optim.Optimizer:
    """AdamW in two groups (with and without decay), or SGD with momentum, over all parameters of `net`."""
    named = dict(net.named_parameters())
    if spec.algorithm == "sgd":
        return torch.optim.SGD(named.values(), lr=spec.lr, momentum=spec.momentum, fused=True)
    with_decay, without = decayed(named.items(), spec)
    groups = [
        {"params": [named[name] for name in with_decay], "weight_decay": spec.weight_decay},
        {"params": [named[name] for name in without], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=spec.lr, betas=spec.betas, eps=spec.eps, fused=True)


def loss(logits: Tensor, labels: Tensor, spec: OptimSpec) -> Tensor:
    """Mean over the batch of softmax cross-entropy, or of sigmoid cross-entropy summed over classes (BiT, big_vision)."""
    if spec.loss == "softmax":
        return F.cross_entropy(logits, labels, label_smoothing=spec.label_smoothing)
    targets = F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1).mean()
