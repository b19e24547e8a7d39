"""One run from its spec to a published result, under a lease; interrupted at any point, it goes on from there."""

from __future__ import annotations

import math
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as safetensors

from vitstudy.data.keyed import generator
from vitstudy.data.sources import DataError, Images, load
from vitstudy.data.stream import Stream
from vitstudy.data.subset import Split, split
from vitstudy.evaluation import fewshot
from vitstudy.evaluation.accuracy import encode
from vitstudy.evaluation.probes import posemb_similarity
from vitstudy.files import read_json, sha256, write_atomic, write_json
from vitstudy.models.factory import build
from vitstudy.models.flops import model_cost
from vitstudy.models.vit import VisionTransformer
from vitstudy.runs.leases import Lease
from vitstudy.runs.provenance import device_name, environment, segment
from vitstudy.runs.store import Store
from vitstudy.study.identity import run_id
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.training.autotune import measure
from vitstudy.training.checkpoint import newest
from vitstudy.training.modules import Diverged
from vitstudy.training.trainer import Outcome, set_threads, train

DONE, INTERRUPTED, DIVERGED, FAILED = 0, 75, 65, 70
STATUS_EVERY_S = 1.0


@dataclass(frozen=True)
class Data:
    """The images of one run."""

    train: Images
    test: Images
    split: Split


def execute(store: Store, spec: RunSpec, execution: Execution, lease: Lease, should_stop: Callable[[], bool]) -> int:
    """Run `spec` (its lease is held by the caller) and return its exit code; every end is written to status.json."""
    steps = spec.optim.steps
    try:
        directory = store.create(spec)
        store.set_status(spec, "running", step=0, steps=steps)
        outcome, net, data, resolved = _train(
            store, spec, execution, directory, lambda: should_stop() or lease.lost.is_set()
        )
        if lease.lost.is_set():
            return INTERRUPTED  # somebody else owns the run now: its files are theirs
        if not outcome.finished:
            store.set_status(spec, "interrupted", step=outcome.step, steps=steps)
            return INTERRUPTED
        publish(directory, spec, resolved, net, data, outcome, lease)
        store.set_status(spec, "done", step=steps, steps=steps)
        return DONE
    except Diverged as error:
        return _end(store, spec, "diverged", str(error), DIVERGED)
    except (DataError, OSError) as error:
        return _end(store, spec, "failed", str(error), FAILED)
    except Exception as error:
        _write_traceback(store.path(spec))
        return _end(store, spec, "failed", f"{type(error).__name__}: {error} (traceback in error.txt)", FAILED)


def _end(store: Store, spec: RunSpec, state: Any, message: str, code: int) -> int:
    print(f"vitstudy: run {store.path(spec).name} {state}: {message}", file=sys.stderr, flush=True)
    try:
        store.set_status(spec, state, error=message)
    except OSError as error:
        print(f"vitstudy: its status could not be written either: {error}", file=sys.stderr, flush=True)
    return code


def _write_traceback(directory: Path) -> None:
    try:
        (directory / "error.txt").write_text(traceback.format_exc())
    except OSError:
        traceback.print_exc()  # the disk does not take it: the terminal must


def _train(
    store: Store, spec: RunSpec, execution: Execution, directory: Path, should_stop: Callable[[], bool]
) -> tuple[Outcome, VisionTransformer, Data, Execution]:
    resolved = resolve(store, spec, execution, directory)
    train_images, test_images = load(spec.data.source)
    if spec.data.test_size is not None:
        test_images = _take(test_images, np.arange(spec.data.test_size))
    data = Data(train_images, test_images, split(train_images, spec.data))
    net = build(spec.model, lambda name: generator(spec.seed, f"init/{name}"), spec.optim.head_bias_init).to(
        resolved.device
    )
    net.set_attention_kernel(resolved.attention == "fused")
    # loader workers cannot share a GPU's memory: with them, batches are made on the CPU and moved
    place = "cpu" if resolved.loader_workers else resolved.device
    stream = Stream(train_images, data.split.train, spec.data, spec.optim.batch_size, spec.seed, place)
    _record(directory, resolved, data.split)
    held_out = _take(train_images, data.split.minival)
    outcome = train(
        net, stream, spec, resolved, directory,
        minival=lambda: {"minival/acc": encode(net, held_out, batch_size=spec.eval.batch_size).top1()},
        progress=_Progress(store, spec), should_stop=should_stop,
    )  # fmt: skip
    return outcome, net, data, resolved


def _take(images: Images, ids: Any) -> Images:
    return Images(images.pixels[ids], images.labels[ids])


class _Progress:
    """Writes the step to status.json, about once a second."""

    def __init__(self, store: Store, spec: RunSpec) -> None:
        self.store, self.spec, self.last = store, spec, 0.0

    def __call__(self, step: int, train_seconds: float) -> None:
        now = time.monotonic()
        if now - self.last < STATUS_EVERY_S:
            return
        self.last = now
        self.store.set_status(
            self.spec,
            "running",
            step=step,
            steps=self.spec.optim.steps,
            train_seconds=round(train_seconds, 3),
        )


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


def _record(directory: Path, execution: Execution, chosen: Split) -> None:
    file = directory / "env.json"
    segments = read_json(file)["segments"] if file.exists() else []
    start = newest(directory / "checkpoints")
    segments.append(segment(start[1] if start else 0))
    write_json(file, {**environment(execution, chosen.manifest_sha256()), "segments": segments})


def evaluate(net: VisionTransformer, spec: RunSpec, data: Data) -> tuple[dict[str, float], dict[str, Any]]:
    """(metrics, per-image predictions on the test set). The test set is opened here, once, and nowhere else."""
    size, kind = spec.eval.batch_size, spec.eval.fewshot_feature
    test = encode(net, data.test, kind, size)
    minival = encode(net, _take(data.train, data.split.minival), kind, size)
    metrics = {"test/acc": test.top1(), "minival/acc": minival.top1()}
    subset = _take(data.train, data.split.train)
    for shots in spec.eval.fewshot:
        scores = []
        for draw in range(spec.eval.fewshot_draws):
            chosen = _take(subset, fewshot.draw_shots(subset.labels, shots, draw))
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
    import json

    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return float(next(row["train/loss"] for row in reversed(rows) if "train/loss" in row))


def peak_memory(device: str) -> int:
    """Bytes: of the accelerator, or of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
