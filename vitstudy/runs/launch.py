"""The local launcher: starts identical workers, shows what they do, and passes a stop on to them. It owns no state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from vitstudy.runs.progress import Display
from vitstudy.runs.store import ENDED, State, Store
from vitstudy.study.timing import Spec

POLL_S = 0.3
ALLOCATOR = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=2147483648"
"""For GLIBC_TUNABLES, where it is not set: a step's tensors stay with the process, on huge pages, and cost no page faults.
`make bench` prints what that gains. Elsewhere than on Linux it is not read."""
EX_TEMPFAIL = 75


@dataclass(frozen=True)
class Options:
    """`worker`: command line of one worker; `jobs`: how many; `max_seconds`: stop (resumably) after that long."""

    worker: tuple[str, ...]
    jobs: int
    fail_fast: bool = False
    max_seconds: float | None = None


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def accelerators() -> int:
    """GPUs of this machine, found without loading torch."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def default_jobs(pending: int) -> int:
    """One run per core (two single-thread runs beat one two-thread run), or one per accelerator."""
    return max(1, min(accelerators() or available_cores(), pending))


def worker_environment(index: int, threads: int) -> dict[str, str]:
    """This process's, with threads, allocator and GPU of a worker; what the user has set of the last two stays."""
    gpus = accelerators()
    gpu = {"CUDA_VISIBLE_DEVICES": str(index % gpus)} if gpus else {}
    own = {"OMP_NUM_THREADS": str(threads), "VITSTUDY_WORKER": str(index)}
    return {"GLIBC_TUNABLES": ALLOCATOR, **gpu, **os.environ, **own}


class Launcher:
    """Runs a grid with `jobs` local workers until nothing is left, a run fails (`fail_fast`), time is up or it is stopped."""

    def __init__(self, store: Store, specs: Sequence[Spec], options: Options, display: Display) -> None:
        self.store, self.specs, self.options, self.display = store, specs, options, display
        self.stopping = False
        self.workers: list[subprocess.Popen[bytes]] = []
        self.log = store.root / "workers.log"
        self.states: list[State] = ["planned"] * len(specs)

    def run(self) -> None:
        """Until no worker is left."""
        deadline = time.monotonic() + self.options.max_seconds if self.options.max_seconds else None
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with self.display, self.log.open("ab") as log:
                self.workers = [self._start(i, log) for i in range(self.options.jobs)]
                while any(worker.poll() is None for worker in self.workers):
                    self._look()
                    self.display.update(self.store, self.specs, self.states)
                    if self.options.fail_fast and not {"failed", "diverged"}.isdisjoint(self.states):
                        self.stop()
                    if deadline and time.monotonic() > deadline:
                        self.stop()
                    self._replace_dead(log)
                    time.sleep(POLL_S)
                self._look()
                self.display.update(self.store, self.specs, self.states, final=True)
        finally:
            for worker in self.workers:
                if worker.poll() is None:
                    worker.kill()
            for number, handler in previous.items():
                signal.signal(number, handler)
        self._explain_dead()

    def _explain_dead(self) -> None:
        """A worker that broke before it could tell a run's status: its last words."""
        broken = [worker.returncode for worker in self.workers if worker.returncode not in (0, EX_TEMPFAIL, None)]
        if broken and not self.stopping:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
            self.display.say(f"a worker ended with exit code {broken[0]}: {''.join(last)} (more in {self.log})")

    def stop(self) -> None:
        """Ask all workers, once, to save and stop."""
        if not self.stopping:
            self.stopping = True
            self.display.say("stopping: runs save their state; the same command goes on from there")
            for worker in self.workers:
                if worker.poll() is None:
                    worker.terminate()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.stopping:
            for worker in self.workers:
                worker.kill()
        self.stop()

    def _start(self, index: int, log: object) -> subprocess.Popen[bytes]:
        threads = max(1, available_cores() // self.options.jobs)
        command = [sys.executable, "-m", "vitstudy", *self.options.worker, "--threads", str(threads)]
        environment = worker_environment(index, threads)
        # a session of its own: Ctrl-C reaches the launcher alone, which then asks the workers once
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )  # type: ignore[call-overload]

    def _replace_dead(self, log: object) -> None:
        """A worker that was killed: free its run at once (its process is known to be gone) and start another."""
        for i, worker in enumerate(self.workers):
            code = worker.poll()
            if code is None or code >= 0 or self.stopping:
                continue
            freed = self.store.leases.release_dead({worker.pid})
            self.display.say(f"a worker was killed (signal {-code}); {len(freed)} run(s) given to a new one")
            self.workers[i] = self._start(i, log)
            time.sleep(0.5)  # never a tight loop, whatever kills them

    def _look(self) -> None:
        """What ended stays as it is: of a large grid, only what is left is looked at again."""
        for i, spec in enumerate(self.specs):
            if self.states[i] not in ENDED:
                self.states[i] = self.store.state(spec)
