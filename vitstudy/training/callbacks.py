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
from torch import Tensor, nn

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


class EarlyStopping:
    """Keeps the best weights seen on minival, looked at every `every` steps and at the last (section 4.3, Figure 4).

    Training goes on to its last step: the learning rate's schedule ends there.
    """

    def __init__(self, every: int) -> None:
        self.every, self.step, self.best = every, 0, -1.0
        self.weights: dict[str, Tensor] = {}

    def due(self, step: int, last: bool) -> bool:
        """Whether minival is looked at now."""
        return step % self.every == 0 or last

    def look(self, step: int, accuracy: float, net: nn.Module) -> None:
        """Take the weights if they are better than all before; of equals, the earlier stay."""
        if accuracy > self.best:
            self.step, self.best = step, accuracy
            self.weights = {name: value.detach().cpu().clone() for name, value in net.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Part of every checkpoint: a resumed run keeps the best of the steps before."""
        return {"step": self.step, "best": self.best, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Back to where the checkpoint was written."""
        self.step, self.best, self.weights = state["step"], state["best"], state["weights"]


class RunCallback(pl.Callback):
    """Everything between two steps, in one place and one order: log, minival, checkpoint, progress, stop."""

    def __init__(
        self,
        directory: Path,
        execution: Execution,
        metric_log: MetricLog,
        minival: Callable[[], float] | None,
        early_stopping: EarlyStopping | None,
        progress: Callable[[int, float], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.directory, self.execution, self.metric_log = directory, execution, metric_log
        self.minival, self.early_stopping = minival, early_stopping
        self.progress, self.should_stop = progress, should_stop
        self.clock = Clock()
        self.saved_at, self.saved_step = time.monotonic(), -1

    def state_dict(self) -> dict[str, Any]:
        early = self.early_stopping.state_dict() if self.early_stopping else None
        return {"train_seconds": self.clock.seconds(), "early_stopping": early}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.clock.total = state_dict["train_seconds"]
        if self.early_stopping:
            self.early_stopping.load_state_dict(state_dict["early_stopping"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.clock.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step, last = trainer.global_step, step_is_last(trainer)
        if pl_module.device.type == "cpu" or step % 50 == 0 or last:
            pl_module.check_finite()
        if step % self.execution.log_every == 0 or last:
            self.metric_log.write(step, self._row(pl_module, batch))
        self._look_at_minival(step, last, pl_module)
        stop = self.should_stop()
        if self._checkpoint_due(step) or stop or last:
            self.save(trainer, pl_module)
        self.progress(step, self.clock.seconds())
        if stop:
            trainer.should_stop = True

    def _look_at_minival(self, step: int, last: bool, module: ClassifierModule) -> None:
        """The clock stands still meanwhile."""
        early, every = self.early_stopping, self.execution.minival_every
        look = early is not None and early.due(step, last)
        if self.minival is None or not (look or (every and step % every == 0 and not last)):
            return
        self.clock.stop()
        accuracy = self.minival()
        self.metric_log.write(step, {"minival/acc": accuracy})
        if early and look:
            early.look(step, accuracy, module.net)
        self.clock.start()

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
