"""A worker claims runs of a grid one after the other and executes them. Any number of them, anywhere, may share a store."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Sequence
from types import FrameType

from vitstudy.runs.execute import DIVERGED, DONE, FAILED, INTERRUPTED, execute
from vitstudy.runs.store import Store
from vitstudy.study.identity import run_id
from vitstudy.study.spec import Execution
from vitstudy.study.timing import Spec


class StopRequest:
    """Set by the first SIGTERM, SIGINT or SIGUSR1, or by a time limit; the second signal ends the process at once."""

    def __init__(self, max_seconds: float | None = None) -> None:
        self._asked = False
        self._deadline = None if max_seconds is None else time.monotonic() + max_seconds

    def install(self) -> None:
        """Take the signals over."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise SystemExit(INTERRUPTED)
        self._asked = True  # only a flag: state is saved between two steps, never inside a handler

    def __call__(self) -> bool:
        return self._asked or (self._deadline is not None and time.monotonic() >= self._deadline)


def work(store: Store, specs: Sequence[Spec], execution: Execution, stop: StopRequest, poll_s: float = 0.5) -> int:
    """Execute all runs that have not ended; wait for those that others hold, and take over what they drop.

    Returns 75 when stopped, else 0: how the runs ended is in the store.
    """
    gc.freeze()  # what is loaded stays: the collections below need not look through all of torch
    given_up: set[Spec] = set()  # failed here, and the disk may not even have taken their status: never in a loop
    while not stop():
        lost = {spec for spec in given_up if not store.ended(spec)}  # their status could not be written
        left = [spec for spec in specs if not lost.intersection((spec, *spec.needs)) and not store.ended(spec)]
        if not left:
            return 0
        spec, code = _work_on_one(store, left, execution, stop)
        if spec is None:
            time.sleep(poll_s)
            continue
        gc.collect()  # reference cycles of a trainer keep a whole run's network and images in memory
        if code in (FAILED, DIVERGED):
            given_up.add(spec)
    return INTERRUPTED


def _work_on_one(
    store: Store, specs: Sequence[Spec], execution: Execution, stop: StopRequest
) -> tuple[Spec | None, int]:
    """The run that was executed and its exit code; None when all are held by others."""
    for spec in specs:
        if not all(store.ended(need) for need in spec.needs):
            continue  # its turn comes when they are done
        lease = store.leases.claim(run_id(spec))
        if lease is None:
            continue
        with lease:
            # look again under the lease: it may have been finished between the two
            if not store.ended(spec):
                return spec, _orphaned(store, spec) or execute(store, spec, execution, lease, stop)
    return None, DONE


def _orphaned(store: Store, spec: Spec) -> int:
    """A run whose needed run failed or diverged is marked so and not executed: 70; else 0."""
    lost = [need for need in spec.needs if not store.is_done(need)]
    if not lost:
        return DONE
    state = store.status(lost[0]).get("state", "gone")
    store.create(spec)
    store.set_status(spec, "failed", error=f"not run: it needs {store.path(lost[0]).name}, which {state}")
    return FAILED
