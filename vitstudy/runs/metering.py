"""What one run costs in this process: its wall time, and the energy that its device draws while it trains.

Energy is what the hardware reports: NVML for a GPU; for a CPU the counters of its packages (RAPL), everything else that runs on
them included. Where neither can be read, there is no energy and no error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")
Watts = Callable[[], float]


class Meter:
    """Started with the run; asked now and then, as training goes on."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._watts: Watts | None = None
        self._joules, self._counted = 0.0, 0.0

    def watch(self, device: str) -> None:
        """From now on, count what `device` (cpu or cuda) draws; training has not begun."""
        self._watts = watts_of(device)

    def sample(self, train_seconds: float) -> None:
        """`train_seconds`: so far. What was drawn since the last call counts for the training since then alone."""
        if self._watts is not None:
            try:
                self._joules += self._watts() * max(0.0, train_seconds - self._counted)
            except Exception:  # a meter that stops answering costs a run its energy, and nothing else
                self._watts = None
        self._counted = train_seconds

    def cost(self, train_seconds: float) -> dict[str, float]:
        """total_seconds, and energy_joules where it is known, of a run that this process made from its first step to its end."""
        self.sample(train_seconds)
        energy = {} if self._watts is None else {"energy_joules": round(self._joules, 1)}
        return {"total_seconds": round(time.perf_counter() - self._start, 3), **energy}


def watts_of(device: str) -> Watts | None:
    """A function that gives the mean power since its last call (NVML: the power now), W; None: the device does not say."""
    try:
        watts: Watts = _nvml if device == "cuda" else _Rapl(POWERCAP)  # most kernels let only root read these counters
        watts()
    except Exception:  # NVML, its library and /sys each fail in ways of their own: all mean that there is no meter
        return None
    return watts


def _nvml() -> float:
    return float(torch.cuda.power_draw()) / 1000  # mW


class _Rapl:
    """The counters of all processor packages, microjoules; they wrap around at a range of their own."""

    def __init__(self, root: Path) -> None:
        self.packages = sorted(path for path in root.glob("intel-rapl:*") if path.name.count(":") == 1)
        self.before, self.at = self._read(), time.perf_counter()

    def _read(self) -> list[int]:
        return [_number(package / "energy_uj") for package in self.packages]

    def __call__(self) -> float:
        if not self.packages:
            raise OSError("no package counts its energy")
        now, at, drawn = self._read(), time.perf_counter(), 0
        for package, start, end in zip(self.packages, self.before, now, strict=True):
            drawn += end - start if end >= start else end - start + _number(package / "max_energy_range_uj")
        seconds, self.before, self.at = at - self.at, now, at
        return drawn / 1e6 / seconds if seconds else 0.0


def _number(file: Path) -> int:
    return int(file.read_text())
