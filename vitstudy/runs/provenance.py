"""Where a number came from: code, libraries, machine, data and the choices that were made for this machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

from vitstudy.study.spec import Execution

LIBRARIES = (
    "vitstudy",
    "torch",
    "timm",
    "pytorch-lightning",
    "numpy",
    "scipy",
    "pandas",
    "pydantic",
    "wandb",
)
ROOT = Path(__file__).parents[2]


def environment(execution: Execution, manifest_sha256: str | None) -> dict[str, Any]:
    """The content of env.json, without its segments. Names no path of the machine. No manifest: a run without data."""
    return {
        "execution": execution.model_dump(mode="json"),
        "data_manifest_sha256": manifest_sha256,
        "device_name": device_name(execution.device),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "lock_sha256": _lock(),
        "git": _git(),
        "command": ["vitstudy", *(Path(w).name if w.startswith("/") else w for w in sys.argv[1:])],
    }


def segment(step: int) -> dict[str, Any]:
    """One stretch of work on a run: when, by which process, from which step."""
    return {"started": time.time(), "pid": os.getpid(), "from_step": step}


def device_name(device: str) -> str:
    """The accelerator's name, or the processor's."""
    return torch.cuda.get_device_name() if device == "cuda" else cpu_name()


def cpu_name() -> str:
    """As the operating system prints it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _lock() -> str | None:
    lock = ROOT / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else None


def _git() -> dict[str, Any] | None:
    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout

    try:
        # the tables and figures that a study rewrites are no part of the code that made them
        changed = ask("status", "--porcelain", "--", "vitstudy", "experiments", "pyproject.toml", "requirements.lock")
        return {"commit": ask("rev-parse", "HEAD").strip(), "code_changed": sorted(changed.splitlines())}
    except (OSError, subprocess.SubprocessError):
        return None
