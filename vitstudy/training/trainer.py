"""Train one network to the end of its spec, or to the point where it is asked to stop; resume from what is on disk.

With Lightning 2.6, exact resume needs: a data set that starts at the restored step, `max_steps` with `max_epochs=-1`, and
never `estimated_stepping_batches` (it silently drops the loader's position).
"""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from vitstudy.data.stream import Stream, StreamDataset
from vitstudy.models.factory import Network
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.training.callbacks import EarlyStopping, MetricLog, RunCallback
from vitstudy.training.checkpoint import VerifiedCheckpointIO, newest
from vitstudy.training.modules import MODULES, ClassifierModule

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Outcome:
    """How far training came. `finished` False: it was asked to stop, and its state is saved.

    `best_step`: where the weights come from with early stopping; None without.
    """

    step: int
    finished: bool
    train_seconds: float
    last_loss: float
    resumed_from: int
    best_step: int | None = None


def train(
    net: Network,
    stream: Stream,
    spec: RunSpec,
    execution: Execution,
    directory: Path,
    *,
    minival: Callable[[], float] | None,
    progress: Callable[[int, float], None],
    should_stop: Callable[[], bool],
) -> Outcome:
    """Train `net` in place; with early stopping it ends with the best weights. `directory` is the run's.

    Raises Diverged; OSError when state cannot be saved.
    """
    start = newest(directory / "checkpoints")
    step = start[1] if start else 0
    log = MetricLog(directory / "metrics.jsonl", step)
    module = MODULES[spec.model.family](net, spec)
    module.prepare(execution)
    early = EarlyStopping(spec.optim.early_stopping_every) if spec.optim.early_stopping_every else None
    callback = RunCallback(directory / "checkpoints", execution, log, minival, early, progress, should_stop)
    trainer = _trainer(spec, execution, callback)
    try:
        if start and step >= spec.optim.steps:
            _restore(module, callback, start[0])
        else:
            # batch_size=None: the stream yields whole batches
            loader = DataLoader(
                StreamDataset(stream, step, spec.optim.steps),
                batch_size=None, num_workers=execution.loader_workers, worker_init_fn=_ignore_signals,
            )  # fmt: skip
            _fit(trainer, module, loader, start[0] if start else None)
            step_now = trainer.global_step
            if step_now < spec.optim.steps and not should_stop():
                raise RuntimeError(f"training ended at step {step_now} of {spec.optim.steps} without being asked to")
    finally:
        callback.clock.stop()
        log.close()
    done = max(step, trainer.global_step)
    finished = done >= spec.optim.steps
    if finished and early:
        net.load_state_dict(early.weights)
    loss = float(module.last.get("train/loss", float("nan")))
    return Outcome(done, finished, callback.clock.total, loss, step, early.step if early else None)


def _trainer(spec: RunSpec, execution: Execution, callback: RunCallback) -> pl.Trainer:
    return pl.Trainer(
        accelerator="gpu" if execution.device == "cuda" else "cpu",
        devices=1,
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[execution.precision],
        max_steps=spec.optim.steps,
        max_epochs=-1,
        callbacks=[callback, _KeepSignals()],
        plugins=[VerifiedCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


class _KeepSignals(pl.Callback):
    """Lightning puts handlers of its own in place when fit starts (SIGTERM then exits with 0): put ours back."""

    def __init__(self) -> None:
        self.ours = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for number, handler in self.ours.items():
            signal.signal(number, handler)


def _fit(trainer: pl.Trainer, module: ClassifierModule, loader: DataLoader[Any], checkpoint: Path | None) -> None:
    with warnings.catch_warnings():
        # both are by design here: batches are made on the device, and the stream itself knows where to go on
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*resuming from a checkpoint that ended before the epoch ended.*")
        # Lightning 2.6 asks torch's pytree in a way that newer torch calls old; nothing here depends on it
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        trainer.fit(module, train_dataloaders=loader, ckpt_path=checkpoint)


def _restore(module: ClassifierModule, callback: RunCallback, path: Path) -> None:
    """Training was finished, its result was not published: take the weights and the clock."""
    checkpoint = VerifiedCheckpointIO().load_checkpoint(path)
    module.load_state_dict(checkpoint["state_dict"])
    callback.load_state_dict(checkpoint["callbacks"][callback.state_key])


def _ignore_signals(_: int) -> None:
    """Schedulers signal loader workers too; a worker that dies takes the run with it before it can save."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def set_threads(count: int | None) -> int:
    """Use `count` CPU threads (None: leave); the number in use."""
    if count is not None:
        torch.set_num_threads(count)
    return torch.get_num_threads()
