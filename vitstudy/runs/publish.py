"""The end of a run: evaluate, write everything, result.json last."""

from __future__ import annotations

import json
import math
import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as safetensors

from vitstudy.data.sources import Images
from vitstudy.data.subset import Split
from vitstudy.evaluation import fewshot
from vitstudy.evaluation.accuracy import encode
from vitstudy.evaluation.probes import posemb_similarity
from vitstudy.files import sha256, write_atomic, write_json
from vitstudy.models.flops import model_cost
from vitstudy.models.vit import VisionTransformer
from vitstudy.runs.leases import Lease
from vitstudy.runs.provenance import device_name
from vitstudy.study.identity import run_id
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.training.modules import Diverged
from vitstudy.training.trainer import Outcome


@dataclass(frozen=True)
class Data:
    """The images of one run."""

    train: Images
    test: Images
    split: Split


def evaluate(net: VisionTransformer, spec: RunSpec, data: Data) -> tuple[dict[str, float], dict[str, Any]]:
    """(metrics, per-image predictions on the test set). The test set is opened here, once, and nowhere else."""
    size, kind = spec.eval.batch_size, spec.eval.fewshot_feature
    test = encode(net, data.test, kind, size)
    minival = encode(net, data.train.take(data.split.minival), kind, size)
    metrics = {"test/acc": test.top1(), "minival/acc": minival.top1()}
    subset = data.train.take(data.split.train)
    for shots in spec.eval.fewshot:
        scores = []
        for draw in range(spec.eval.fewshot_draws):
            chosen = subset.take(fewshot.draw_shots(subset.labels, shots, draw))
            support = encode(net, chosen, kind, size)
            scores.append(
                fewshot.accuracy(support.features, support.labels, test.features, test.labels, spec.eval.fewshot_l2)
            )
        metrics[f"fewshot/{shots}"] = float(np.mean(scores))
        metrics[f"fewshot/{shots}/std_over_draws"] = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return metrics, {"predicted": test.predicted.astype(np.int32), "label": test.labels.astype(np.int32)}


def publish(
    directory: Path,
    spec: RunSpec,
    execution: Execution,
    net: VisionTransformer,
    data: Data,
    outcome: Outcome,
    lease: Lease,
) -> None:
    """Evaluate and write everything, result.json last. Raises Diverged when a metric is not finite."""
    metrics, predictions = evaluate(net, spec, data)
    metrics["train/loss"] = outcome.last_loss if math.isfinite(outcome.last_loss) else _last_loss(directory)
    write_atomic(directory / "predictions.npz", lambda file: np.savez_compressed(file, **predictions))
    files = ["predictions.npz"]
    similarity = posemb_similarity(net) if "posemb_similarity" in spec.eval.probes else None
    if similarity is not None:
        write_atomic(directory / "probes.npz", lambda file: np.savez_compressed(file, posemb_similarity=similarity))
        files.append("probes.npz")
    weights = safetensors({name: value.contiguous().cpu() for name, value in net.state_dict().items()})
    write_atomic(directory / "weights.safetensors", lambda file: file.write(weights))
    cost = model_cost(spec.model)
    images = spec.optim.steps * spec.optim.batch_size
    result = {
        "run_id": run_id(spec),
        "metrics": metrics,
        "cost": {
            "params": cost.params,
            "forward_flops": cost.forward_flops,
            "train_flops": cost.train_flops * images,
            "train_seconds": round(outcome.train_seconds, 3),
            "images_per_s": round(images / outcome.train_seconds, 1),
            "peak_memory_bytes": peak_memory(execution.device),
        },
        "execution": {
            **execution.model_dump(mode="json", include={"device", "precision", "attention", "threads"}),
            "device_name": device_name(execution.device),
            "torch": torch.__version__,
        },
        "sha256": {name: sha256(directory / name) for name in [*files, "weights.safetensors"]},
    }
    if not all(math.isfinite(value) for value in metrics.values()):
        raise Diverged(f"a metric is not finite: {metrics}")
    if lease.mine():
        write_json(directory / "result.json", result)
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)


def _last_loss(directory: Path) -> float:
    """Of a run that was killed between its last step and its result."""
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return float(next(row["train/loss"] for row in reversed(rows) if "train/loss" in row))


def peak_memory(device: str) -> int:
    """Bytes: of the accelerator, or of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
