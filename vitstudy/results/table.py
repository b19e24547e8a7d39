"""The result table: one tidy row per run of a grid, finished or not. Every column is documented in `COLUMNS`.

Metrics and costs have values only where the state is ``done``; elsewhere they are missing (NaN).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from vitstudy.study.grid import value_at
from vitstudy.study.identity import run_id
from vitstudy.study.timing import Spec, TimingSpec

SPEC_COLUMNS: dict[str, str] = {
    "seed": "seed",
    "stage": "stage",
    "family": "model.family",
    "model": "model.name",
    "source": "data.source",
    "image_size": "model.image_size",
    "train_size": "data.train_images",
    "steps": "optim.steps",
    "batch_size": "optim.batch_size",
    "upstream": "upstream.data.source",
    "upstream_images": "upstream.data.train_images",
    "upstream_classes": "upstream.data.fractals.classes",
    "upstream_instances": "upstream.data.fractals.instances",
    "upstream_image_size": "upstream.data.image_size",
    "upstream_steps": "upstream.optim.steps",
    "posemb_start": "transfer.posemb",
}
"""Columns read from the spec: name -> dotted field."""

PARENT_COLUMNS: dict[str, str] = {
    "weight_decay": "optim.weight_decay",
    "dropout": "model.dropout",
    "label_smoothing": "optim.label_smoothing",
}
"""Columns read from the spec of the pre-training that was used: of several candidates, the chosen one."""

EXECUTION_COLUMNS: tuple[str, ...] = (
    "device", "device_name", "precision", "attention", "layout", "threads", "torch",
)  # fmt: skip

COLUMNS: dict[str, str] = {
    "run_id": "identity of the run: 10 hex digits over its whole spec",
    "run": "name of the run's directory in the store",
    "state": "planned, running, done, failed, diverged or interrupted",
    "seed": "seed of the run; shared by the cells of a study, so that differences are paired",
    "stage": "pretrain; tune (a fine-tuning that holds a minival out, to choose by); finetune (on all of train); timing",
    "family": "vit, resnet or hybrid",
    "model": "name of the model, as in the paper",
    "source": "name of the data set that is trained on",
    "image_size": "pixels fed to the network, side",
    "train_size": "distinct training images; missing: all that minival leaves",
    "steps": "optimiser steps of the whole run",
    "batch_size": "images per step over all devices",
    "upstream": "data set of the pre-training; of a pretrain run: its own, as in all columns upstream_*",
    "upstream_images": "distinct images of the pre-training; missing: all that minival leaves",
    "upstream_classes": "classes, for fractals",
    "upstream_instances": "images of each class, for fractals",
    "upstream_image_size": "pixels fed to the network in pre-training, side",
    "upstream_steps": "optimiser steps of the pre-training",
    "posemb_start": "position embeddings at the start of a fine-tuning: interpolate or reset",
    "parent": "identity of the pre-training run that was used",
    "lr": "peak learning rate that was used; of a finetune run: the one that tuning chose",
    "weight_decay": "of the pre-training that was used",
    "dropout": "of the pre-training that was used; missing: the family has none",
    "label_smoothing": "of the pre-training that was used",
    "test/acc": "top-1 accuracy on the test set, fraction 0..1",
    "minival/acc": "top-1 accuracy on the images held out of train, fraction 0..1",
    "fewshot/{k}": "accuracy of the k-shot linear probe on the run's own test set, fraction 0..1",
    "fewshot/{k}/std_over_draws": "standard deviation of that accuracy over the random draws of the k images",
    "fewshot/{k}/{source}": "accuracy of the k-shot linear probe on that data set's test images, fraction 0..1",
    "fewshot/{k}/{source}/std_over_draws": "standard deviation of that accuracy over the random draws",
    "train/loss": "training loss at the last step, nats",
    "train/best_step": "with early stopping: the step that the weights are from",
    "timing/images_per_s": "inference, images per second: median over passes, best over batch sizes",
    "timing/best_batch": "the batch size of that speed, images",
    "timing/max_batch": "largest batch that fits in memory, images, a power of two; missing: the search ran out of time",
    "timing/memory_limit_bytes": "memory that a batch and the weights may take, bytes",
    "cost/params": "trainable parameters, count",
    "cost/forward_flops": "FLOPs of one forward pass of one image; one multiply-add is 2 FLOPs",
    "cost/train_flops": "FLOPs of the whole run; training is 3 x forward",
    "cost/train_seconds": "wall time of training, seconds, without evaluation and checkpoints",
    "cost/total_seconds": "wall time of the whole run, start and evaluation included, seconds; missing where it was resumed",
    "cost/device_hours": "cost/train_seconds in hours times devices (one device, or one worker's CPU threads, makes a run)",
    "cost/mfu": "training FLOP/s as a share of the matmul peak measured on the same device, precision and threads, 0..1",
    "cost/energy_joules": "drawn during training by the GPU, or by all CPU packages of the machine; missing where not reported",
    "cost/timing_seconds": "wall time of a timing run's measurements, seconds",
    "cost/images_per_s": "training throughput, images per second",
    "cost/peak_memory_bytes": "peak memory of the process that made the run, bytes",
    "cost/pretrain_flops": "FLOPs of the pre-training that was used; of a pretrain run: its own",
    "cost/pretrain_seconds": "wall time of the pre-training that was used, seconds",
    "device": "cpu or cuda",
    "device_name": "what the processor or accelerator calls itself",
    "precision": "fp32 or bf16",
    "attention": "fused or plain attention kernel",
    "layout": "channels-first or channels-last feature maps",
    "threads": "CPU threads used, count",
    "torch": "version of torch",
}
"""Column -> meaning and unit. ``{k}`` is a number, ``{source}`` a data set. Factor columns are documented by their study."""


class Results(Protocol):
    """What `collect` asks of a store."""

    def path(self, spec: Spec) -> Path:
        """The run's directory."""

    def state(self, spec: Spec) -> str:
        """The run's state."""

    def result(self, spec: Spec) -> dict[str, Any] | None:
        """The parsed result.json of a done run."""


def meaning(column: str) -> str:
    """Meaning and unit of a column that is not a factor. Raises KeyError for an undocumented one."""
    return COLUMNS[
        re.sub(r"^(fewshot)/\d+(/(?!std_over_draws)[^/]+)?", lambda m: "fewshot/{k}" + "/{source}" * bool(m[2]), column)
    ]


def metric_columns(table: pd.DataFrame) -> list[str]:
    """The measured columns: those with a slash that are not costs."""
    return [name for name in table.columns if "/" in name and not name.startswith("cost/")]


def factor_columns(table: pd.DataFrame) -> list[str]:
    """The columns that a study's factors added: neither documented here nor measured."""
    return [name for name in table.columns if name not in COLUMNS and "/" not in name]


def collect(store: Results, runs: Sequence[Spec], factors: Mapping[str, str]) -> pd.DataFrame:
    """One row per distinct run, in the order given; `factors` maps a column to a dotted field of the spec.

    Raises ValueError when a factor would replace another column, or a done run has no readable result.
    """
    for name, field in factors.items():
        if name in COLUMNS and SPEC_COLUMNS.get(name) != field:
            raise ValueError(f"factor '{name}' ({field}) has the name of another column of the result table")
    rows = [_row(store, spec, factors) for spec in dict.fromkeys(runs)]
    table = pd.DataFrame(rows)
    measured = sorted(name for name in table.columns if "/" in name)
    own = (*SPEC_COLUMNS, "parent", "lr", *PARENT_COLUMNS)
    leading = ["run_id", "run", "state", *factors, *(name for name in own if name not in factors)]
    return table.reindex(columns=[*leading, *measured, *EXECUTION_COLUMNS])


def _row(store: Results, spec: Spec, factors: Mapping[str, str]) -> dict[str, Any]:
    state = store.state(spec)
    row: dict[str, Any] = {"run_id": run_id(spec), "run": store.path(spec).name, "state": state}
    row |= {name: value_at(spec, field) for name, field in {**SPEC_COLUMNS, **factors}.items()}
    result = store.result(spec) if state == "done" else None
    row |= _lineage(spec, (result or {}).get("transfer"))
    if state != "done":
        return row
    if result is None:
        raise ValueError(f"run {row['run']} is done but its result cannot be found")
    row |= result["metrics"]
    row |= {f"cost/{name}": value for name, value in result["cost"].items()}
    if "train_seconds" in result["cost"]:
        row["cost/device_hours"] = result["cost"]["train_seconds"] / 3600
    return row | {name: result["execution"].get(name) for name in EXECUTION_COLUMNS}


def _lineage(spec: Spec, chosen: dict[str, Any] | None) -> dict[str, Any]:
    """parent, lr and the columns of the parent: as declared, or, in a finished transfer, as chosen."""
    if isinstance(spec, TimingSpec):
        return dict.fromkeys(("parent", "lr", *PARENT_COLUMNS))
    parents = {run_id(run): run for run in (spec.transfer.parents if spec.transfer else ())}
    parent = parents[chosen["parent"]] if chosen else spec.upstream
    facts = {name: value_at(parent, field) for name, field in PARENT_COLUMNS.items()}
    return {"parent": chosen["parent"] if chosen else None, "lr": chosen["lr"] if chosen else spec.optim.lr, **facts}


def check_seeds(table: pd.DataFrame) -> None:
    """Raises ValueError when two seeds of one cell gave bit-equal metrics: then they are one run, counted twice."""
    metrics = metric_columns(table)
    done = table[table["state"] == "done"].dropna(subset=metrics, how="all") if metrics else table.iloc[:0]
    cell = [name for name in SPEC_COLUMNS if name != "seed" and name in table] + factor_columns(table)
    equal = done[done.duplicated([*cell, *metrics], keep=False)]
    for _, group in equal.groupby([*cell, *metrics], dropna=False, sort=False):
        seeds = sorted(set(group["seed"]))
        if len(seeds) > 1:
            names = ", ".join(group["run"]) if "run" in group else ""
            raise ValueError(f"seeds {seeds} of one cell gave bit-equal metrics, so they are not independent: {names}")


def load_probe(store: Results, runs: Sequence[Spec], name: str) -> dict[str, np.ndarray]:
    """Run id -> array `name` of the run's probes.npz, for the done runs that have it."""
    arrays: dict[str, np.ndarray] = {}
    for spec in dict.fromkeys(runs):
        file = store.path(spec) / "probes.npz"
        if store.state(spec) != "done" or not file.exists():
            continue
        with np.load(file, allow_pickle=False) as probes:
            if name in probes:
                arrays[run_id(spec)] = probes[name]
    return arrays
