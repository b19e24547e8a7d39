"""One timing run: the largest batch, then the speed of every batch size that fits, then its result.

Short: what is interrupted starts again. Measurements disturb each other, so one runs at a time (`Study.exclusive`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vitstudy.errors import UserError
from vitstudy.evaluation.memory import memory_limit, peak_memory
from vitstudy.evaluation.timing import Inference, Largest, fits_memory, images_per_s, largest_batch
from vitstudy.files import write_json
from vitstudy.models.flops import model_cost
from vitstudy.runs.leases import Lease
from vitstudy.runs.publish import executed
from vitstudy.study.identity import run_id
from vitstudy.study.spec import Execution
from vitstudy.study.timing import TimingSpec


class DoesNotFit(UserError):
    """Not even one image was seen to fit: there is no speed."""


def measure_and_publish(
    directory: Path, spec: TimingSpec, execution: Execution, lease: Lease, should_stop: Callable[[], bool]
) -> bool:
    """Measure and write result.json; False when stopped before that. `execution` is resolved. Raises DoesNotFit."""
    start = time.monotonic()
    if execution.device == "cuda":
        torch.cuda.empty_cache()  # what an earlier run left in this process is not the child's to search
    limit = memory_limit(spec.memory_limit, execution.device)
    load = partial(fits_memory, spec.model, execution, limit)
    found = largest_batch(load, spec.largest_batch, spec.search_seconds, should_stop)
    if found.ended == "stopped":
        return False
    if not found.batch:
        raise DoesNotFit(
            f"{spec.model.name} at {spec.model.image_size} px: no batch was seen to fit in {limit:,} bytes: {found.ended}"
        )
    inference = Inference(spec.model, execution)
    speeds: dict[int, float] = {}
    for batch in [size for size in spec.batch_sizes if size <= found.batch] or [found.batch]:
        if should_stop():
            return False
        speeds[batch] = images_per_s(inference, batch, spec.seconds)
    result = _result(spec, execution, found, limit, speeds)
    result["cost"]["timing_seconds"] = round(time.monotonic() - start, 3)
    if lease.mine():
        write_json(directory / "result.json", result)
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)
    return True


def _result(
    spec: TimingSpec, execution: Execution, found: Largest, limit: int, speeds: dict[int, float]
) -> dict[str, Any]:
    cost, best = model_cost(spec.model), max(speeds, key=lambda batch: speeds[batch])
    metrics = {
        "timing/images_per_s": round(speeds[best], 3),
        "timing/best_batch": best,
        "timing/memory_limit_bytes": limit,
    }
    if found.ended != "time":  # a search without an end found a batch that fits, not the largest
        metrics["timing/max_batch"] = found.batch
    return {
        "run_id": run_id(spec),
        "metrics": metrics,
        "cost": {
            "params": cost.params,
            "forward_flops": cost.forward_flops,
            "peak_memory_bytes": peak_memory(execution.device),
        },
        "speeds": {str(batch): round(speed, 3) for batch, speed in speeds.items()},
        "search": asdict(found),
        "execution": executed(execution),
        "sha256": {},
    }
