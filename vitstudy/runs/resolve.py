"""What `auto` means on this machine: device, threads, and the fastest precision, attention kernel and layout."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch

from vitstudy.files import read_json, write_json
from vitstudy.runs.provenance import device_name
from vitstudy.runs.store import Store
from vitstudy.study.models import ResNetSpec
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.training.autotune import OPTIONS, measure
from vitstudy.training.checkpoint import newest
from vitstudy.training.trainer import set_threads


def resolve(store: Store, spec: RunSpec, execution: Execution, directory: Path) -> Execution:
    """Every `auto` decided. A run that was started keeps the precision and kernel it was started with."""
    device = execution.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    threads = set_threads(execution.threads)
    resolved = execution.model_copy(update={"device": device, "threads": threads})
    env = directory / "env.json"
    if env.exists() and newest(directory / "checkpoints"):
        before = read_json(env)["execution"]
        return resolved.model_copy(update={field: before[field] for field in OPTIONS})
    if all(getattr(resolved, field) != "auto" for field in OPTIONS):
        return resolved
    return resolved.model_copy(update=_tuned(store, spec, resolved))


def _tuned(store: Store, spec: RunSpec, execution: Execution) -> dict[str, str]:
    """The fastest choice, measured once per store, machine, shape and thread count, so that a grid never mixes precisions."""
    model = spec.model
    if not isinstance(model, ResNetSpec):
        model = model.model_copy(update={"posemb": "1d", "posemb_at": "stem"})
    shape = hashlib.sha256(f"{model.model_dump_json()} {spec.optim.batch_size}".encode()).hexdigest()[:10]
    given = "-".join(getattr(execution, field) for field in OPTIONS)
    key = f"{shape}-{execution.device}-{execution.threads}-{given}-{device_name(execution.device)}"
    file = store.root / "autotune" / ("".join(c if c.isalnum() or c in "-." else "_" for c in key) + ".json")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        speeds = measure(spec.model_copy(update={"model": model}), execution)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        rows = [{**choice, "images_per_s": round(speed, 1)} for choice, speed in speeds]
        write_json(temporary, {"fastest": max(speeds, key=lambda row: row[1])[0], "measured": rows})
        try:
            os.link(temporary, file)  # of two workers that measure at once, the first decides for both
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    fastest: dict[str, str] = read_json(file)["fastest"]
    return fastest
