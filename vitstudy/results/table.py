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
from vitstudy.study.spec import RunSpec

SPEC_COLUMNS: dict[str, str] = {
    "seed": "seed",
    "model": "model.name",
    "source": "data.source",
    "train_size": "data.train_size",
    "steps": "optim.steps",
    "batch_size": "optim.batch_size",
}
"""Columns read from the spec: name -> dotted field."""

EXECUTION_COLUMNS: tuple[str, ...] = ("device", "device_name", "precision", "attention", "threads", "torch")

COLUMNS: dict[str, str] = {
    "run_id": "identity of the run: 10 hex digits over its whole spec",
    "run": "name of the run's directory in the store",
    "state": "planned, running, done, failed, diverged or interrupted",
    "seed": "seed of the run; shared by the cells of a study, so that differences are paired",
    "model": "name of the model, as in the paper",
    "source": "name of the data set",
    "train_size": "training images of the subset; missing: all that minival leaves",
    "steps": "optimiser steps of the whole run",
    "batch_size": "images per step over all devices",
    "test/acc": "top-1 accuracy on the test set at the last step, fraction 0..1",
    "minival/acc": "top-1 accuracy on the images held out of train, fraction 0..1",
    "fewshot/{k}": "accuracy of the k-shot linear probe on the test set, fraction 0..1",
    "fewshot/{k}/std_over_draws": "standard deviation of that accuracy over the random draws of the k images",
    "train/loss": "training loss at the end, nats",
    "cost/params": "trainable parameters, count",
    "cost/forward_flops": "FLOPs of one forward pass of one image; one multiply-add is 2 FLOPs",
    "cost/train_flops": "FLOPs of the whole run; training is 3 x forward",
    "cost/train_seconds": "wall time of training, seconds",
    "cost/images_per_s": "training throughput, images per second",
    "cost/peak_memory_bytes": "peak memory of the run, bytes",
    "device": "cpu or cuda",
    "device_name": "what the processor or accelerator calls itself",
    "precision": "fp32 or bf16",
    "attention": "fused or plain attention kernel",
    "threads": "CPU threads used, count",
    "torch": "version of torch",
}
"""Column -> meaning and unit. ``{k}`` stands for a number. Factor columns are documented by their study."""


class Results(Protocol):
    """What `collect` asks of a store."""

    def path(self, spec: RunSpec) -> Path:
        """The run's directory."""

    def state(self, spec: RunSpec) -> str:
        """The run's state."""

    def result(self, spec: RunSpec) -> dict[str, Any] | None:
        """The parsed result.json of a done run."""


def meaning(column: str) -> str:
    """Meaning and unit of a column that is not a factor. Raises KeyError for an undocumented one."""
    return COLUMNS[re.sub(r"/\d+(?=/|$)", "/{k}", column)]


def metric_columns(table: pd.DataFrame) -> list[str]:
    """The measured columns: those with a slash that are not costs."""
    return [name for name in table.columns if "/" in name and not name.startswith("cost/")]


def factor_columns(table: pd.DataFrame) -> list[str]:
    """The columns that a study's factors added: neither documented here nor measured."""
    return [name for name in table.columns if name not in COLUMNS and "/" not in name]


def collect(store: Results, runs: Sequence[RunSpec], factors: Mapping[str, str]) -> pd.DataFrame:
    """One row per distinct run, in the order given; `factors` maps a column to a dotted field of the spec.

    Raises ValueError when a factor would replace another column, or a done run has no readable result.
    """
    for name, field in factors.items():
        if name in COLUMNS and SPEC_COLUMNS.get(name) != field:
            raise ValueError(f"factor '{name}' ({field}) has the name of another column of the result table")
    rows = [_row(store, spec, factors) for spec in dict.fromkeys(runs)]
    table = pd.DataFrame(rows)
    measured = sorted(name for name in table.columns if "/" in name)
    leading = ["run_id", "run", "state", *factors, *(name for name in SPEC_COLUMNS if name not in factors)]
    return table.reindex(columns=[*leading, *measured, *EXECUTION_COLUMNS])


def _row(store: Results, spec: RunSpec, factors: Mapping[str, str]) -> dict[str, Any]:
    state = store.state(spec)
    row: dict[str, Any] = {"run_id": run_id(spec), "run": store.path(spec).name, "state": state}
    row |= {name: value_at(spec, field) for name, field in {**SPEC_COLUMNS, **factors}.items()}
    if state != "done":
        return row
    result = store.result(spec)
    if result is None:
        raise ValueError(f"run {row['run']} is done but its result cannot be found")
    row |= result["metrics"]
    row |= {f"cost/{name}": value for name, value in result["cost"].items()}
    return row | {name: result["execution"].get(name) for name in EXECUTION_COLUMNS}


def check_seeds(table: pd.DataFrame) -> None:
    """Raises ValueError when two seeds of one cell gave bit-equal metrics: then they are one run, counted twice."""
    metrics = metric_columns(table)
    done = table[table["state"] == "done"].dropna(subset=metrics, how="all") if metrics else table.iloc[:0]
    cell = [name for name in SPEC_COLUMNS if name != "seed" and name in table] + factor_columns(table)
    for _, group in done.groupby([*cell, *metrics], dropna=False, sort=False):
        seeds = sorted(set(group["seed"]))
        if len(seeds) > 1:
            names = ", ".join(group["run"]) if "run" in group else ""
            raise ValueError(f"seeds {seeds} of one cell gave bit-equal metrics, so they are not independent: {names}")


def load_probe(store: Results, runs: Sequence[RunSpec], name: str) -> dict[str, np.ndarray]:
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
