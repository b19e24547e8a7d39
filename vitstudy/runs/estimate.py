"""How long a run will take, learned from the finished runs of a store; assumed where none is like it. No torch here.

A run takes train FLOPs / rate + overhead (start and evaluation). Rate: the median over finished runs of the same model, else of
those of the same family, else of all, whose forward FLOPs are nearest. Overhead counts in forward passes at that rate: the
median over finished runs that were evaluated alike (on the same data, in the same way).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from statistics import median
from typing import Any

from vitstudy.runs.store import Store, StoreError
from vitstudy.study.cost import forward_flops, train_flops
from vitstudy.study.models import ModelSpec
from vitstudy.study.plan import Device, timing_seconds
from vitstudy.study.spec import RunSpec
from vitstudy.study.timing import Spec, TimingSpec

NEWEST = 5
"""Runs that a median is taken over: a machine is not always as busy as it was."""
FACTOR = 8.0
"""A model with more than so many times the forward FLOPs, or fewer, says nothing about the rate."""
ASSUMED_OVERHEAD = (1.0, 0.2)
"""Seconds for each run, and share of its training: where no finished run tells."""


@dataclass(frozen=True)
class Finished:
    """One finished run. `overhead`: seconds without training, None where it was not measured; `ended`: Unix time."""

    spec: Spec
    machine: str
    ended: float
    seconds: float
    overhead: float | None

    @property
    def rate(self) -> float:
        """Training FLOP/s."""
        return train_flops(self.spec) / self.seconds if isinstance(self.spec, RunSpec) else 0.0

    @property
    def overhead_images(self) -> float | None:
        """Forward passes that the overhead is worth."""
        return None if self.overhead is None else self.overhead * self.rate / forward_flops(self.spec.model)


def finished_runs(store: Store) -> tuple[Finished, ...]:
    """All readable ones of a store, oldest first."""
    found = []
    for file in store.root.glob("*/result.json"):
        try:
            spec = store.read_spec(file.parent)
            result = store.result(spec)
        except StoreError:
            continue  # of another version, or damaged: whoever needs this run will say so
        if result is not None:
            found.append(_finished(store, spec, result))
    return tuple(sorted(found, key=lambda run: run.ended))


def _finished(store: Store, spec: Spec, result: dict[str, Any]) -> Finished:
    cost, execution = result["cost"], result["execution"]
    machine = f"{execution['device_name']}, {execution['threads']} thread(s)"
    ended = float(store.status(spec).get("time", 0.0))
    if isinstance(spec, TimingSpec):
        return Finished(spec, machine, ended, cost["timing_seconds"], None)
    total = cost.get("total_seconds")
    overhead = None if total is None else max(0.0, total - cost["train_seconds"])
    return Finished(spec, machine, ended, cost["train_seconds"], overhead)


class Estimate:
    """Seconds of wall time of a run on one worker: ``estimate(spec)``.

    Only finished runs of the machine (and threads) that finished the newest of their kind count: timing runs have all threads,
    training runs share them. `assumed`: for runs that no finished run is like.
    """

    def __init__(self, finished: Iterable[Finished], assumed: Device) -> None:
        finished = tuple(finished)
        self.trained = _of_the_newest([run for run in finished if isinstance(run.spec, RunSpec)])
        self.timed = _of_the_newest([run for run in finished if isinstance(run.spec, TimingSpec)])
        self.assumed = assumed
        self._known: dict[ModelSpec, list[Finished]] = {}

    def __call__(self, spec: Spec) -> float:
        """Start and evaluation included."""
        if isinstance(spec, TimingSpec):
            return timing_seconds(spec) * self._timing_share
        alike = self.alike(spec)
        rate = median(run.rate for run in alike[-NEWEST:]) if alike else self.assumed.rate
        training = train_flops(spec) / rate
        images = self._overhead_images(spec, alike)
        if images is None:
            return training + ASSUMED_OVERHEAD[0] + ASSUMED_OVERHEAD[1] * training
        return training + images * forward_flops(spec.model) / rate

    def alike(self, spec: RunSpec) -> list[Finished]:
        """The finished runs that tell the rate of a run's model, oldest first."""
        if spec.model not in self._known:
            self._known[spec.model] = self._like(spec.model)
        return self._known[spec.model]

    def basis(self, specs: Sequence[Spec]) -> str:
        """What the estimate of these runs rests on."""
        if any(isinstance(spec, TimingSpec) for spec in specs):
            return _said(self.timed) if self.timed else "the limits that timing runs set themselves"
        learned = [spec for spec in specs if isinstance(spec, RunSpec) and self.alike(spec)]
        if self.trained and len(learned) == len(specs):
            return _said(self.trained)
        assumed = f"assumed: {self.assumed.name} at MFU {self.assumed.mfu:.0%}"
        if not learned:
            return assumed
        return f"{len(learned)} runs from finished ones on {self.trained[-1].machine}, {len(specs) - len(learned)} {assumed}"

    def _overhead_images(self, spec: RunSpec, alike: Sequence[Finished]) -> float | None:
        """Of the runs evaluated as this one, those of the same model where there are some; None: no finished run tells."""
        told = [
            run
            for run in self.trained
            if run.overhead_images is not None and _evaluation(run.spec) == _evaluation(spec)
        ]
        chosen = [run for run in told if run in alike] or told
        return median(run.overhead_images or 0.0 for run in chosen[-NEWEST:]) if chosen else None

    @cached_property
    def _timing_share(self) -> float:
        """Of the limits that a timing run sets itself, how much was needed."""
        shares = [run.seconds / timing_seconds(run.spec) for run in self.timed if isinstance(run.spec, TimingSpec)]
        return median(shares[-NEWEST:]) if shares else 1.0

    def _like(self, model: ModelSpec) -> list[Finished]:
        same = [run for run in self.trained if run.spec.model == model]
        family = [run for run in self.trained if run.spec.model.family == model.family]
        pool, flops = same or family or self.trained, forward_flops(model)
        distances = [abs(log(forward_flops(run.spec.model) / flops)) for run in pool]
        nearest = min(distances, default=log(FACTOR) + 1)
        if nearest > log(FACTOR):
            return []
        return [run for run, distance in zip(pool, distances, strict=True) if distance <= nearest + 1e-9]


def _of_the_newest(finished: Sequence[Finished]) -> list[Finished]:
    """Those of the machine that finished the last of them."""
    return [run for run in finished if run.machine == finished[-1].machine]


def _said(finished: Sequence[Finished]) -> str:
    return f"from {len(finished)} finished runs on {finished[-1].machine}"


def _evaluation(spec: Spec) -> tuple[object, ...]:
    """What decides how much is evaluated, and what is made ready at the start."""
    return (
        (spec.stage, spec.data.source, spec.data.test_size, spec.eval) if isinstance(spec, RunSpec) else (spec.stage,)
    )
