"""The end of a run: evaluate, write everything, result.json last."""

from __future__ import annotations

import json
import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as safetensors

from vitstudy.data.dataset import RunData
from vitstudy.evaluation.final import Evaluation, evaluate
from vitstudy.evaluation.memory import peak_memory
from vitstudy.evaluation.probes import posemb_similarity
from vitstudy.files import sha256, write_atomic, write_json
from vitstudy.models.factory import Network
from vitstudy.models.flops import model_cost
from vitstudy.models.vit import VisionTransformer
from vitstudy.runs.leases import Lease
from vitstudy.runs.lineage import Lineage
from vitstudy.runs.metering import Meter
from vitstudy.runs.peak import stored_peak
from vitstudy.runs.provenance import device_name
from vitstudy.study.identity import run_id
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.training.modules import Diverged
from vitstudy.training.trainer import Outcome


def publish(
    directory: Path, spec: RunSpec, execution: Execution, net: Network, data: RunData, outcome: Outcome,
    lineage: Lineage | None, pretraining: dict[str, Any] | None, meter: Meter,
    lease: Lease,
) -> None:  # fmt: skip
    """Evaluate and write everything, result.json last. Raises Diverged when a metric is not finite.

    `pretraining`: the cost part of the parent's result; `meter`: started with the run in this process.
    """
    found = evaluate(net, spec, data)
    metrics = dict(found.metrics)
    metrics["train/loss"] = outcome.last_loss if math.isfinite(outcome.last_loss) else _last_loss(directory)
    if outcome.best_step is not None:
        metrics["train/best_step"] = outcome.best_step
    files = _write_arrays(directory, spec, net, found)
    result = {
        "run_id": run_id(spec),
        "metrics": metrics,
        "cost": _cost(spec, execution, outcome, pretraining, meter) | _mfu(directory.parent, spec, execution, outcome),
        "transfer": lineage.record() if lineage else None,
        "overlap": found.overlap,
        "execution": executed(execution),
        "sha256": {name: sha256(directory / name) for name in files},
    }
    if not all(math.isfinite(value) for value in metrics.values()):
        raise Diverged(f"a metric is not finite: {metrics}")
    if lease.mine():
        write_json(directory / "result.json", result)
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)


def executed(execution: Execution) -> dict[str, Any]:
    """What result.json says of how the run was executed."""
    return {
        **execution.model_dump(mode="json", include={"device", "precision", "attention", "layout", "threads"}),
        "device_name": device_name(execution.device),
        "torch": torch.__version__,
    }


def _write_arrays(directory: Path, spec: RunSpec, net: Network, found: Evaluation) -> list[str]:
    """Predictions, probes, weights; the names of the files written."""
    arrays: dict[str, Any] = {"predictions.npz": found.predictions}
    if "posemb_similarity" in spec.eval.probes and isinstance(net, VisionTransformer):
        similarity = posemb_similarity(net)
        arrays["probes.npz"] = {} if similarity is None else {"posemb_similarity": similarity}
    for name, content in list(arrays.items()):
        if content:
            write_atomic(directory / name, partial(np.savez_compressed, **content))
        else:
            del arrays[name]
    weights = safetensors({name: value.contiguous().cpu() for name, value in net.state_dict().items()})
    write_atomic(directory / "weights.safetensors", lambda file: file.write(weights))
    return [*arrays, "weights.safetensors"]


def _cost(
    spec: RunSpec, execution: Execution, outcome: Outcome, pretraining: dict[str, Any] | None, meter: Meter
) -> dict[str, float]:
    """FLOPs, seconds and memory of this run, and of the pre-training that it rests on.

    What the meter says is kept only for a run made in one go: it knows nothing of an earlier process.
    """
    cost = model_cost(spec.model)
    own = {
        "params": cost.params,
        "forward_flops": cost.forward_flops,
        "train_flops": cost.train_flops * spec.images_seen,
        "train_seconds": round(outcome.train_seconds, 3),
    }
    first, metered = pretraining or own, {} if outcome.resumed_from else meter.cost(outcome.train_seconds)
    return (
        own
        | metered
        | {
            "images_per_s": round(spec.images_seen / outcome.train_seconds, 1),
            "peak_memory_bytes": peak_memory(execution.device),
            "pretrain_flops": first["train_flops"],
            "pretrain_seconds": first["train_seconds"],
        }
    )


def _mfu(store: Path, spec: RunSpec, execution: Execution, outcome: Outcome) -> dict[str, float]:
    """Training FLOP/s as a share of the matmul peak: Chowdhery et al. 2022 (PaLM, arXiv 2204.02311), appendix B."""
    achieved = model_cost(spec.model).train_flops * spec.images_seen / outcome.train_seconds
    return {"mfu": round(achieved / stored_peak(store, execution), 4)}


def _last_loss(directory: Path) -> float:
    """Of a run that was killed between its last step and its result."""
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return float(next(row["train/loss"] for row in reversed(rows) if "train/loss" in row))
