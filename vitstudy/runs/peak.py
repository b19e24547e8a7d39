"""The matmul peak of a device: what MFU (model FLOPs utilisation) is a share of. Measured, never taken from a data sheet."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from vitstudy.runs.measured import measured_once
from vitstudy.runs.provenance import device_name
from vitstudy.study.spec import Execution

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIDES = {"cpu": 256, "cuda": 8192}
"""Of the square matrices. CPU: a product takes less than a scheduler's time slice, so that on a busy machine one runs whole."""


def matmul_peak(device: str, precision: str, seconds: float = 0.2) -> float:
    """FLOP/s of a square matrix product with the threads that torch is set to: the best of all made in `seconds`, two at least.

    `device`: cpu or cuda; `precision`: fp32 or bf16.
    """
    side, generator = SIDES[device], torch.Generator().manual_seed(0)  # no draw from the generator of anybody else
    matrix = torch.randn(side, side, generator=generator).to(device, DTYPES[precision])
    times: list[float] = []
    out, end = torch.empty_like(matrix), time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < end:
        _wait(device)
        start = time.perf_counter()
        torch.matmul(matrix, matrix, out=out)
        _wait(device)
        times.append(time.perf_counter() - start)
    return float(2 * side**3 / min(times))


def stored_peak(store: Path, execution: Execution) -> float:
    """FLOP/s, measured once per store (its root), machine, precision and thread count. `execution`: nothing in it is auto."""
    device, precision = execution.device, execution.precision
    key = f"peak-{device}-{torch.get_num_threads()}-{precision}-{device_name(device)}"
    found = measured_once(
        store, key, lambda: {"flop_per_s": round(matmul_peak(device, precision)), "side": SIDES[device]}
    )
    return float(found["flop_per_s"])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
