"""Peak memory of this process or of its accelerator, and how much there is."""

from __future__ import annotations

import resource
import sys

import psutil
import torch

HEAD_ROOM = 0.1
"""Share of a device's memory that is left to others: its driver, other processes, fragments."""


def peak_memory(device: str) -> int:
    """Bytes: of the accelerator, or of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def memory_limit(stated: int | None, device: str) -> int:
    """Bytes that may be used: the device's memory less head-room; on the CPU what is stated, if that is less."""
    if device == "cuda":
        return int((1 - HEAD_ROOM) * torch.cuda.mem_get_info()[1])
    machine = int((1 - HEAD_ROOM) * psutil.virtual_memory().total)
    return min(stated or machine, machine)
