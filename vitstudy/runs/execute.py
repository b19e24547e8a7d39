"""One run from its spec to a published result, under a lease; interrupted at any point, it goes on from there."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vitstudy.data.dataset import RunData, open_data
from vitstudy.data.keyed import generator
from vitstudy.data.stream import Stream
from vitstudy.errors import UserError
from vitstudy.evaluation.accuracy import encode
from vitstudy.files import read_json, write_json
from vitstudy.models.factory import Network, build
from vitstudy.models.transfer import load_body
from vitstudy.runs.leases import Lease
from vitstudy.runs.lineage import Lineage, inherit, needed, weights
from vitstudy.runs.metering import Meter
from vitstudy.runs.provenance import environment, segment
from vitstudy.runs.publish import publish
from vitstudy.runs.resolve import resolve
from vitstudy.runs.store import Store
from vitstudy.runs.timing import measure_and_publish
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.study.timing import Spec, TimingSpec
from vitstudy.training.checkpoint import newest
from vitstudy.training.modules import Diverged
from vitstudy.training.trainer import Outcome, train

DONE, INTERRUPTED, DIVERGED, FAILED = 0, 75, 65, 70
STATUS_EVERY_S = 1.0


def execute(store: Store, spec: Spec, execution: Execution, lease: Lease, should_stop: Callable[[], bool]) -> int:
    """Run `spec` (its lease is held by the caller) and return its exit code; every end is written to status.json."""
    steps, meter = 1 if isinstance(spec, TimingSpec) else spec.optim.steps, Meter()
    try:
        directory = store.create(spec)
        store.set_status(spec, "running", step=0, steps=steps)
        resolved = resolve(store, spec, execution, directory)
        if isinstance(spec, TimingSpec):
            _record(directory, resolved, None)
            step = int(measure_and_publish(directory, spec, resolved, lease, should_stop))
        else:
            step = _train_and_publish(store, spec, resolved, directory, meter, lease, should_stop)
        if lease.lost.is_set():
            return INTERRUPTED  # somebody else owns the run now: its files are theirs
        store.set_status(spec, "done" if step == steps else "interrupted", step=step, steps=steps)
        return DONE if step == steps else INTERRUPTED
    except Diverged as error:
        return _end(store, spec, "diverged", str(error), DIVERGED)
    except (UserError, OSError) as error:
        return _end(store, spec, "failed", str(error), FAILED)
    except Exception as error:
        _write_traceback(store.path(spec))
        return _end(store, spec, "failed", f"{type(error).__name__}: {error} (traceback in error.txt)", FAILED)


def _train_and_publish(
    store: Store, spec: RunSpec, execution: Execution, directory: Path, meter: Meter, lease: Lease,
    should_stop: Callable[[], bool],
) -> int:  # fmt: skip
    """The step that training came to; at the last one the result is published."""
    lineage = inherit(store, spec)
    # loader workers cannot share a GPU's memory: with them, batches are made on the CPU and moved
    data = open_data(spec.data, "cpu" if execution.loader_workers else execution.device, images_seen=spec.images_seen)
    _record(directory, execution, data.manifest_sha256)
    net = _network(store, spec, lineage).to(execution.device)
    meter.watch(execution.device)
    outcome = _train(store, spec, execution, net, data, lineage, meter, lambda: should_stop() or lease.lost.is_set())
    if outcome.finished and not lease.lost.is_set():
        pretraining = needed(store, lineage.parent)["cost"] if lineage else None
        publish(directory, spec, execution, net, data, outcome, lineage, pretraining, meter, lease)
    return min(outcome.step, spec.optim.steps)


def _end(store: Store, spec: Spec, state: Any, message: str, code: int) -> int:
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


def _network(store: Store, spec: RunSpec, lineage: Lineage | None) -> Network:
    """At its start: fresh, or with the body of the chosen parent."""
    net = build(spec.model, lambda name: generator(spec.seed, f"init/{name}"), spec.optim.head_bias_init)
    if lineage and spec.transfer:
        load_body(net, weights(store, lineage.parent), lineage.parent.model, spec.transfer.posemb)
    return net


def _train(
    store: Store, spec: RunSpec, execution: Execution, net: Network, data: RunData, lineage: Lineage | None,
    meter: Meter, should_stop: Callable[[], bool],
) -> Outcome:  # fmt: skip
    # the rate that tuning chose stands in the place of the declared one
    optim = spec.optim.model_copy(update={"lr": lineage.lr}) if lineage else spec.optim
    spec_as_trained = spec.model_copy(update={"optim": optim})
    return train(
        net, Stream(data.train, spec.data, spec.optim.batch_size, spec.seed), spec_as_trained, execution, store.path(spec),
        minival=(lambda: encode(net, data.minival, batch_size=spec.eval.batch_size).top1()) if len(data.minival) else None,
        progress=_Progress(store, spec, meter), should_stop=should_stop,
    )  # fmt: skip


class _Progress:
    """Writes the step to status.json, and reads the meter, about once a second."""

    def __init__(self, store: Store, spec: RunSpec, meter: Meter) -> None:
        self.store, self.spec, self.meter, self.last = store, spec, meter, 0.0

    def __call__(self, step: int, train_seconds: float) -> None:
        now = time.monotonic()
        if now - self.last < STATUS_EVERY_S:
            return
        self.last = now
        self.meter.sample(train_seconds)
        self.store.set_status(
            self.spec,
            "running",
            step=step,
            steps=self.spec.optim.steps,
            train_seconds=round(train_seconds, 3),
        )


def _record(directory: Path, execution: Execution, manifest_sha256: str | None) -> None:
    file = directory / "env.json"
    segments = read_json(file)["segments"] if file.exists() else []
    start = newest(directory / "checkpoints")
    segments.append(segment(start[1] if start else 0))
    write_json(file, {**environment(execution, manifest_sha256), "segments": segments})
