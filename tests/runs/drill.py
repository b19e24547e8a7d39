"""Runs that are killed at a chosen point. Each is a process of its own, forked from a server that has torch loaded."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

from experiments import STUDIES
from vitstudy.files import read_json, sha256
from vitstudy.runs.store import Store
from vitstudy.study.grid import apply
from vitstudy.study.spec import Execution, RunSpec

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["vitstudy.runs.worker"])

EXECUTION = Execution(
    device="cpu", precision="fp32", attention="plain", threads=1, checkpoint_every_steps=4, log_every=1
)


def spec_with_everything_random(seed: int = 0) -> RunSpec:
    """Dropout, shift, flip, and a subset that 30 images a step do not divide: 20 steps are 3 epochs of 200."""
    changes = {"model.dropout": 0.1, "data.crop": "pad", "data.train_size": 200, "optim.batch_size": 30, "seed": seed}
    return apply(STUDIES["posemb"].runs("smoke")[1], changes)


def start(store: Store, specs: list[RunSpec], fault: str = "", execution: Execution = EXECUTION):
    process = context.Process(target=_run, args=(store.root, store.leases.ttl_s, specs, fault, execution))
    process.start()
    return process


def run(store: Store, specs: list[RunSpec], fault: str = "", execution: Execution = EXECUTION) -> int:
    """Exit code: 0, 75, or -9 when the fault struck."""
    process = start(store, specs, fault, execution)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _run(root: Path, ttl: float, specs: list[RunSpec], fault: str, execution: Execution) -> None:
    from vitstudy.runs.worker import StopRequest, work

    if fault:
        name, _, step = fault.partition(":")
        FAULTS[name](int(step or 0))
    stop = StopRequest()
    stop.install()
    os._exit(work(Store(root, ttl), specs, execution, stop, poll_s=0.05))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _after_step(step: int) -> None:
    from vitstudy.training.callbacks import RunCallback

    original = RunCallback.on_train_batch_end

    def patched(self, trainer, *rest):
        original(self, trainer, *rest)
        if trainer.global_step == step:
            _die()

    RunCallback.on_train_batch_end = patched


def _during_checkpoint(step: int) -> None:
    """Half of the file is on disk when the process dies."""
    from vitstudy.training import checkpoint

    original = checkpoint.write_atomic

    def patched(path, write):
        if path.name == f"step-{step:09d}.ckpt":
            (path.parent / f".{path.name}.torn.tmp").write_bytes(b"half a checkpoint")
            _die()
        original(path, write)

    checkpoint.write_atomic = patched


def _between_checkpoint_and_sidecar(step: int) -> None:
    from vitstudy.training import checkpoint

    original = checkpoint.write_json

    def patched(path, value):
        if path.name == f"step-{step:09d}.json":
            _die()
        original(path, value)

    checkpoint.write_json = patched


def _before_result(_: int) -> None:
    from vitstudy.runs import publish

    original = publish.write_json

    def patched(path, value):
        if path.name == "result.json":
            _die()
        original(path, value)

    publish.write_json = patched


def _terminate(step: int) -> None:
    """SIGTERM from outside, as a scheduler sends it."""
    from vitstudy.training.callbacks import RunCallback

    original = RunCallback.on_train_batch_end

    def patched(self, trainer, *rest):
        if trainer.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, trainer, *rest)

    RunCallback.on_train_batch_end = patched


def _disk_full(step: int) -> None:
    """Every write to the run's directory fails from that step on."""
    from vitstudy import files
    from vitstudy.training.callbacks import RunCallback

    original = RunCallback.on_train_batch_end

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    def patched(self, trainer, *rest):
        if trainer.global_step == step:
            files.os = type("Full", (), {**vars(os), "fsync": staticmethod(no_space)})
        original(self, trainer, *rest)

    RunCallback.on_train_batch_end = patched


FAULTS: dict[str, Callable[[int], None]] = {
    "after-step": _after_step,
    "during-checkpoint": _during_checkpoint,
    "before-sidecar": _between_checkpoint_and_sidecar,
    "before-result": _before_result,
    "sigterm-at": _terminate,
    "disk-full-at": _disk_full,
}


def outcome(store: Store, spec: RunSpec) -> dict[str, object]:
    """What must be equal to the bit: weights, predictions, metrics, and the log of losses, rates and sample ids."""
    path = store.path(spec)
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return {
        "weights": sha256(path / "weights.safetensors"),
        "predictions": sha256(path / "predictions.npz"),
        "metrics": read_json(path / "result.json")["metrics"],
        "log": rows,
    }


def segments(store: Store, spec: RunSpec) -> list[int]:
    """The steps from which work on a run started: one for each process that trained it."""
    return [segment["from_step"] for segment in read_json(store.path(spec) / "env.json")["segments"]]
