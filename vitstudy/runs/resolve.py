"""What `auto` means on this machine: device, threads, and the fastest precision and attention kernel."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from vitstudy.files import read_json, write_json
from vitstudy.runs.provenance import device_name
from vitstudy.runs.store import Store
from vitstudy.study.identity import run_id
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.training.autotune import measure
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
        return resolved.model_copy(update={key: before[key] for key in ("precision", "attention")})
    if "auto" not in (resolved.precision, resolved.attention):
        return resolved
    precision, attention = _tuned(store, spec, resolved)
    return resolved.model_copy(update={"precision": precision, "attention": attention})


def _tuned(store: Store, spec: RunSpec, execution: Execution) -> list[str]:
    """The fastest pair, measured once per store, machine, shape and thread count, so that a grid never mixes precisions."""
    default = spec.model.model_copy(update={"posemb": "1d", "posemb_at": "stem"})
    shape = spec.model_copy(update={"model": default, "seed": 0})
    key = f"{run_id(shape)}-{execution.device}-{execution.threads}-{execution.precision}-{execution.attention}"
    name = "".join(c if c.isalnum() or c in "-." else "_" for c in f"{key}-{device_name(execution.device)}")
    file = store.root / "autotune" / f"{name}.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        speeds = {pair: round(speed, 1) for pair, speed in measure(shape, execution).items()}
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        write_json(temporary, {"images_per_s": speeds, "fastest": max(speeds, key=speeds.__getitem__)})
        try:
            os.link(temporary, file)  # of two workers that measure at once, the first decides for both
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    fastest: str = read_json(file)["fastest"]
    return fastest.split("/")
