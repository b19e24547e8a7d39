"""What a person sees while a grid runs: a live display in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vitstudy.runs.store import ENDED, State, Store, seconds_of
from vitstudy.study.timing import Spec

LINE_EVERY_S = 20.0


def duration(seconds: float) -> str:
    """'42 s', '9 min', '3.2 h', '12 days'."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            value = seconds / unit
            return f"{value:.1f} {name}" if name == "h" else f"{max(1, round(value))} {name}"
    return f"{seconds / 86400:,.0f} days"


def _value(metric: str, value: float) -> str:
    return f"{value:,.4g}" if metric.startswith("timing/") else f"{100 * value:.1f} %"


class Display:
    """Runs done, running and left, the last results, and the time that is left."""

    def __init__(self, console: Console, metric: str) -> None:
        self.console, self.metric = console, metric
        self.live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self.seen: set[int] = set()
        self.results: list[str] = []
        self.start, self.done_before, self.last_line = time.monotonic(), -1.0, 0.0

    def __enter__(self) -> Display:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def say(self, message: str) -> None:
        """One line, above the live display."""
        self.console.print(message, style="yellow", highlight=False)

    def update(self, store: Store, specs: Sequence[Spec], found: Sequence[State], final: bool = False) -> None:
        """Show what is true now; `found`: the state of each run."""
        states, running = Counter(found), self._note_results(store, specs, found)
        finished = states["done"] + states["failed"] + states["diverged"]
        progress = finished + sum(share for _, share in running)
        if self.done_before < 0:
            self.done_before = progress
        elapsed, gained = time.monotonic() - self.start, progress - self.done_before
        eta = elapsed / gained * (len(specs) - progress) if gained > 0.2 else None
        left = len(specs) - finished - len(running)
        head = f"{states['done']} done, {len(running)} running, {left} left"
        head += "".join(f", {states[bad]} {bad}" for bad in ("failed", "diverged", "interrupted") if states[bad])
        head += f", {duration(elapsed)} elapsed" + (
            f", about {duration(eta)} to go" if eta is not None and not final else ""
        )
        if self.live:
            self.live.update(self._picture(head, progress, len(specs), running))
        elif final or time.monotonic() - self.last_line >= LINE_EVERY_S:
            self.last_line = time.monotonic()
            self.console.print(head, highlight=False)

    def _note_results(self, store: Store, specs: Sequence[Spec], found: Sequence[State]) -> list[tuple[str, float]]:
        running, known = [], bool(self.done_before >= 0)
        for i, (spec, state) in enumerate(zip(specs, found, strict=True)):
            if state == "running":
                status = store.status(spec)
                running.append((store.path(spec).name, status.get("step", 0) / status.get("steps", 1)))
            elif state in ENDED and i not in self.seen:
                self.seen.add(i)
                if known:  # what had ended before this launch is no news
                    self._result(store, spec, store.path(spec).name, state)
        return running

    def _result(self, store: Store, spec: Spec, name: str, state: str) -> None:
        result = store.result(spec) if state == "done" else None
        if result:
            value = result["metrics"].get(self.metric)
            shown = "" if value is None else f"{self.metric} {_value(self.metric, value)}"
            line = f"{name}  {shown}  {duration(seconds_of(result))}"
        else:
            line = f"{name}  {state}: {store.status(spec).get('error', '')}"
        self.results.append(line)
        if not self.live:
            self.console.print("  " + line, highlight=False)

    def _picture(self, head: str, progress: float, total: int, running: list[tuple[str, float]]) -> Group:
        table = Table.grid(padding=(0, 1))
        for name, share in running:
            table.add_row(Text(name), ProgressBar(total=1.0, completed=share, width=30), f"{share:4.0%}")
        last = [Text("  " + line, style="dim") for line in self.results[-5:]]
        return Group(*last, table, ProgressBar(total=total, completed=progress, width=60), Text(head, style="bold"))
