"""What happens between training steps: the metric log, minival, checkpoints, the clock, and stopping when asked.

None of it draws random numbers, so none of it changes the weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from vitstudy.data.stream import Batch
from vitstudy.study.spec import Execution
from vitstudy.training.checkpoint import checkpoint_path, prune
from vitstudy.training.modules import ClassifierModule


class Clock:
    """Seconds of training, without evaluation and checkpoints; survives a resume."""

    def __init__(self) -> None:
        self.total, self._since = 0.0, None

    _since: float | None

    def start(self) -> None:
        """Go on counting."""
        self._since = time.perf_counter()

    def stop(self) -> None:
        """Pause."""
        if self._since is not None:
            self.total += time.perf_counter() - self._since
            self._since = None

    def seconds(self) -> float:
        """So far."""
        return self.total + (time.perf_counter() - self._since if self._since is not None else 0.0)


class MetricLog:
    """metrics.jsonl: one JSON object a line, each with its `step` (optimiser steps done)."""

    def __init__(self, path: Path, step: int) -> None:
        """Open for appending; rows past `step`, left by a killed process, are dropped first."""
        rows = [row for row in _rows(path) if row["step"] <= step]
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        temporary.replace(path)
        self._file = path.open("a")

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Append one row and hand it to the operating system."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Force the rows to disk: before a checkpoint that relies on them."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._file.close()


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:  # the torn last line of a killed process: its step is run again
            break
    return rows


class RunCallback(pl.Callback):
    """Everything between two steps, in one place and one order: log, minival, checkpoint, progress, stop."""

    def __init__(
        self,
        directory: Path,
        execution: Execution,
        metric_log: MetricLog,
        minival: Callable[[], dict[str, float]] | None,
        progress: Callable[[int, float], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.directory, self.execution, self.metric_log = directory, execution, metric_log
        self.minival, self.progress, self.should_stop = minival, progress, should_stop
        self.clock = Clock()
        self.saved_at, self.saved_step = time.monotonic(), -1

    def state_dict(self) -> dict[str, Any]:
        return {"train_seconds": self.clock.seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.clock.total = state_dict["train_seconds"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.clock.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step, last = trainer.global_step, step_is_last(trainer)
        if pl_module.device.type == "cpu" or step % 50 == 0 or last:
            pl_module.check_finite()
        if step % self.execution.log_every == 0 or last:
            self.metric_log.write(step, self._row(pl_module, batch))
        every = self.execution.minival_every
        if self.minival and every and step % every == 0 and not last:
            self.clock.stop()
            self.metric_log.write(step, self.minival())
            self.clock.start()
        stop = self.should_stop()
        if self._checkpoint_due(step) or stop or last:
            self.save(trainer, pl_module)
        self.progress(step, self.clock.seconds())
        if stop:
            trainer.should_stop = True

    def save(self, trainer: pl.Trainer, pl_module: ClassifierModule) -> None:
        """Write a checkpoint now; the clock stands still meanwhile."""
        self.clock.stop()
        pl_module.check_finite()
        self.metric_log.sync()
        step = trainer.global_step
        trainer.save_checkpoint(checkpoint_path(self.directory, step))
        prune(self.directory)
        self.saved_at, self.saved_step = time.monotonic(), step
        self.clock.start()

    def _checkpoint_due(self, step: int) -> bool:
        if self.execution.checkpoint_every_steps:
            return step % self.execution.checkpoint_every_steps == 0
        return time.monotonic() - self.saved_at >= self.execution.checkpoint_every_s

    @staticmethod
    def _row(module: ClassifierModule, batch: Batch) -> dict[str, Any]:
        ids = hashlib.blake2b(batch.ids.cpu().numpy().tobytes(), digest_size=6).hexdigest()
        return {**{name: float(value) for name, value in module.last.items()}, "sample_ids": ids}


def step_is_last(trainer: pl.Trainer) -> bool:
    """Whether the run's last optimiser step has been made."""
    return bool(trainer.global_step >= trainer.max_steps)
