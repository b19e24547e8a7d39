"""What `auto` means on this machine: device, threads, and the fastest precision, attention kernel and layout."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from vitstudy.evaluation.timing import Inference, images_per_s
from vitstudy.files import read_json
from vitstudy.runs.measured import measured_once
from vitstudy.runs.provenance import device_name
from vitstudy.runs.store import Store
from vitstudy.study.models import ModelSpec, ResNetSpec
from vitstudy.study.spec import Execution
from vitstudy.study.timing import Spec, TimingSpec
from vitstudy.training.autotune import OPTIONS, combinations, fastest, measure
from vitstudy.training.checkpoint import newest
from vitstudy.training.trainer import set_threads


def resolve(store: Store, spec: Spec, execution: Execution, directory: Path) -> Execution:
    """Every `auto` decided. A run that was started keeps the precision and kernel it was started with.

    Timing runs are compared with each other, so their precision is one for all: bf16 on an accelerator, fp32 on the CPU.
    """
    device = execution.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    threads = set_threads(execution.threads)
    resolved = execution.model_copy(update={"device": device, "threads": threads})
    if isinstance(spec, TimingSpec) and execution.precision == "auto":
        resolved = resolved.model_copy(update={"precision": "bf16" if device == "cuda" else "fp32"})
    env = directory / "env.json"
    if env.exists() and newest(directory / "checkpoints"):
        before = read_json(env)["execution"]
        return resolved.model_copy(update={field: before[field] for field in OPTIONS})
    if resolved.precision == "auto":
        resolved = resolved.model_copy(update={"precision": _precision(store, spec, resolved)})
    choices = combinations(spec.model.family, resolved)
    return resolved.model_copy(update=choices[0] if len(choices) == 1 else _tuned(store, spec, resolved))


def _precision(store: Store, spec: Spec, execution: Execution) -> str:
    """One for the whole store and device, as runs of different precision are not compared: the first run's fastest."""
    key = f"precision-{execution.device}-{device_name(execution.device)}"
    chosen: dict[str, str] = measured_once(store.root, key, lambda: _measure(spec, execution))["fastest"]
    return chosen["precision"]


def _tuned(store: Store, spec: Spec, execution: Execution) -> dict[str, str]:
    """The fastest choice (`fastest`), measured once per store, machine, shape and thread count."""
    what = f"inference {spec.batch_sizes[0]}" if isinstance(spec, TimingSpec) else spec.optim.batch_size
    shape = hashlib.sha256(f"{_shape(spec.model).model_dump_json()} {what}".encode()).hexdigest()[:10]
    given = "-".join(getattr(execution, field) for field in OPTIONS)
    key = f"{shape}-{execution.device}-{execution.threads}-{given}-{device_name(execution.device)}"
    chosen: dict[str, str] = measured_once(store.root, key, lambda: _measure(spec, execution))["fastest"]
    return chosen


def _shape(model: ModelSpec) -> ModelSpec:
    """What decides the speed: cells that differ in their position embedding alone are measured as one."""
    if isinstance(model, ResNetSpec):
        return model
    return model.model_copy(update={"posemb": "1d", "posemb_at": "stem"})


def _measure(spec: Spec, execution: Execution) -> dict[str, Any]:
    """Of training steps; of a timing run, of forward passes of its first batch size."""
    model = _shape(spec.model)
    if isinstance(spec, TimingSpec):
        speeds = [
            (
                choice,
                images_per_s(Inference(model, execution.model_copy(update=choice)), spec.batch_sizes[0], spec.seconds),
            )
            for choice in combinations(model.family, execution)
        ]
    else:
        speeds = measure(spec.model_copy(update={"model": model}), execution)
    rows = [{**choice, "images_per_s": round(speed, 1)} for choice, speed in speeds]
    return {"fastest": fastest(speeds), "measured": rows}
