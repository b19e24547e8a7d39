"""A budget of time: how long a grid takes on a few workers, and the part of it that fits. Pure arithmetic on specs.

A part is made of whole cells. A cell: all seeds of one combination of everything else, with all runs that they need.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from vitstudy.study.spec import RunSpec
from vitstudy.study.study import with_needs
from vitstudy.study.timing import Spec

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
Seconds = Callable[[Spec], float]
"""What a run takes; 0 for one that has ended."""


def parse_duration(text: str) -> float:
    """Seconds of e.g. ``90s``, ``30min``, ``8h``, ``1.5d``. Raises ValueError naming the text and what is allowed."""
    found = re.fullmatch(rf"(\d+(?:\.\d+)?)\s*({'|'.join(UNITS)})", text.strip())
    if found is None or not float(found[1]):
        raise ValueError(f"'{text}' is no time; write a number above 0 and a unit: {', '.join(UNITS)}, e.g. 8h")
    return float(found[1]) * UNITS[found[2]]


@dataclass(frozen=True)
class Cell:
    """`runs`: its seeds; `seconds`: of work that they and what they need would add to the part that was chosen."""

    runs: tuple[Spec, ...]
    seconds: float


@dataclass(frozen=True)
class Part:
    """What was chosen of a grid. `runs`: of the kept cells and all that they need, parents first; `seconds`: wall time."""

    runs: tuple[Spec, ...]
    seconds: float
    left_out: tuple[Cell, ...]
    left_out_runs: int


def wall_seconds(runs: Iterable[Spec], seconds: Seconds, jobs: int) -> float:
    """Wall time of runs and all that they need on `jobs` workers, by a schedule in a fixed order (see `_Schedule`)."""
    schedule = _Schedule(with_needs(runs), seconds, jobs)
    return schedule.wall(range(len(schedule.specs)))


def cells(grid: Iterable[Spec]) -> tuple[tuple[Spec, ...], ...]:
    """The runs of a grid by cell, both in the order of the grid."""
    found: dict[Spec, dict[Spec, None]] = {}
    for spec in grid:
        found.setdefault(_without_seed(spec), {})[spec] = None
    return tuple(tuple(runs) for runs in found.values())


def choose(grid: Sequence[Spec], seconds: Seconds, budget: float, jobs: int = 1) -> Part:
    """Cells in the study's order, each kept if the part with it still fits into `budget` seconds; until none fits any more.

    The study's order, not cheapest first: that would keep the small models alone, and most questions compare sizes. A larger
    budget never uses less time: where two budgets first differ, the larger one keeps a cell that the smaller cannot pay.
    """
    schedule = _Schedule(with_needs(grid), seconds, jobs)
    groups = [(runs, schedule.closure(runs)) for runs in cells(grid)]
    kept: set[int] = set()
    waiting, before = list(range(len(groups))), -1
    while len(waiting) != before:  # again: a need that another cell paid for makes this one cheaper
        before, still = len(waiting), []
        for cell in waiting:
            larger = kept | groups[cell][1]
            if schedule.wall(larger) <= budget:
                kept = larger
            else:
                still.append(cell)
        waiting = still
    left = tuple(Cell(groups[cell][0], sum(schedule.costs[run] for run in groups[cell][1] - kept)) for cell in waiting)
    runs = tuple(spec for run, spec in enumerate(schedule.specs) if run in kept)
    return Part(runs, schedule.wall(kept), left, len(schedule.specs) - len(kept))


class _Schedule:
    """Runs by number, so that nothing is hashed twice.

    Wall time: whatever needs nothing comes first, then what needs only that, and so on; in this order each run goes to the
    worker that is free first and waits there for its needs. More runs never take less time, which no rule that lets runs
    overtake each other can promise (Graham 1969, SIAM J. Appl. Math. 17).
    """

    def __init__(self, specs: tuple[Spec, ...], seconds: Seconds, jobs: int) -> None:
        self.specs, self.jobs = specs, jobs
        self.number = {spec: run for run, spec in enumerate(specs)}
        self.costs = [seconds(spec) for spec in specs]
        self.needs = [tuple(self.number[need] for need in spec.needs) for spec in specs]
        self.depth: list[int] = []
        for needs in self.needs:  # parents stand first
            self.depth.append(1 + max((self.depth[need] for need in needs), default=-1))

    def closure(self, runs: Iterable[Spec]) -> set[int]:
        """The runs and all that they need."""
        found: set[int] = set()
        open_ = [self.number[spec] for spec in runs]
        while open_:
            run = open_.pop()
            if run not in found:
                found.add(run)
                open_ += self.needs[run]
        return found

    def wall(self, runs: Collection[int]) -> float:
        """Seconds until the last of them ends; `runs` holds all that they need."""
        free, end = [0.0] * self.jobs, dict.fromkeys(runs, 0.0)
        for run in sorted(runs, key=lambda run: (self.depth[run], run)):
            if self.costs[run]:
                start = max([heappop(free), *(end[need] for need in self.needs[run])])
                end[run] = start + self.costs[run]
                heappush(free, end[run])
        return max(end.values(), default=0.0)


def _without_seed(spec: Spec) -> Spec:
    """The spec with its seed and those of all runs that it needs set to 0: equal within a cell."""
    change: dict[str, object] = {"seed": 0}
    if isinstance(spec, RunSpec) and spec.transfer is not None:
        needs = {name: tuple(map(_without_seed, getattr(spec.transfer, name))) for name in ("parents", "tuning")}
        change["transfer"] = spec.transfer.model_copy(update=needs)
    return spec.model_copy(update=change)
