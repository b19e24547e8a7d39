"""The clock counts training alone, and over kill and resume just the steps that the weights are made of."""

import time
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl

from tests.runs import drill
from vitstudy.files import read_json
from vitstudy.runs.store import Store
from vitstudy.training import callbacks

SPEC = drill.spec_with_everything_random()
EXECUTION = drill.EXECUTION.model_copy(update={"minival_every": 3})
STEP, MINIVAL, CHECKPOINT = 1.0, 100.0, 10000.0


def _ticking(root, fault: str) -> None:
    """In a process of its own: time that passes in training steps, looks at minival and checkpoints, and nowhere else."""
    from vitstudy.runs import execute

    clock = SimpleNamespace(now=0.0)

    def takes(seconds, work):
        def timed(*args, **kwargs):
            clock.now += seconds
            return work(*args, **kwargs)

        return timed

    callbacks.time = SimpleNamespace(perf_counter=lambda: clock.now, monotonic=time.monotonic)
    callbacks.RunCallback.on_train_batch_start = takes(STEP, pl.Callback.on_train_batch_start)
    pl.Trainer.save_checkpoint = takes(CHECKPOINT, pl.Trainer.save_checkpoint)
    execute.encode = takes(MINIVAL, execute.encode)
    drill._run(root, 0.4, [SPEC], fault, EXECUTION)


def run(store: Store, fault: str = "") -> int | None:
    process = drill.context.Process(target=_ticking, args=(store.root, fault))
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.parametrize(
    "faults",
    [[], ["sigterm-at:7"], ["before-result"], ["after-step:6", "after-step:15"]],
    ids=lambda faults: "+".join(faults) or "whole",
)
def test_training_seconds_are_those_of_the_steps_that_count_whatever_was_killed(tmp_path, faults):
    store = Store(tmp_path, lease_ttl_s=0.4)
    for fault in faults:
        assert run(store, fault) == (75 if "sigterm" in fault else -9)
        assert not store.is_done(SPEC)
    assert run(store) == 0
    cost = store.result(SPEC)["cost"]
    assert cost["train_seconds"] == SPEC.optim.steps * STEP
    assert ("total_seconds" in cost) == (not faults)  # of a resumed run no process knows all
    flops = cost["train_flops"] / cost["train_seconds"]
    peak = next(read_json(file) for file in (store.root / "autotune").glob("peak-cpu-1-fp32-*.json"))["flop_per_s"]
    assert cost["mfu"] == pytest.approx(flops / peak, abs=1e-4)


def test_the_clock_pauses_and_goes_on(monkeypatch):
    now = iter([0.0, 3.0, 10.0, 14.0, 15.0])
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    clock = callbacks.Clock()
    assert clock.seconds() == 0
    clock.start()
    clock.stop()
    clock.stop()  # stands already
    assert clock.seconds() == 3
    clock.total += 100  # of a process before this one
    clock.start()
    assert clock.seconds() == 107
    clock.stop()
    assert clock.total == 108
