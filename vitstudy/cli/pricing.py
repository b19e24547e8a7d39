"""Time and budget of a study, for `plan` and `run`: what its runs will take here, and the part of its grid that fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from vitstudy.cli.selection import console, fail
from vitstudy.runs.estimate import Estimate, finished_runs
from vitstudy.runs.progress import duration
from vitstudy.runs.store import Store
from vitstudy.study.budget import Part, Seconds, choose, parse_duration
from vitstudy.study.identity import run_name
from vitstudy.study.plan import CORE_MFU, DEVICES, GPU_MFU, Device, measured_device
from vitstudy.study.timing import Spec, TimingSpec

BudgetOpt = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="e.g. 90s, 30min, 8h, 2d: whole cells in the study's order, each that still fits",
    ),
]


def budget_seconds(text: str | None) -> float | None:
    """Exits with 2 for a text that is no time."""
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        fail(f"--budget {error}")


def estimate_of(store: Store, specs: Sequence[Spec], assumed: Device | None) -> Estimate:
    """Learned from the store's finished runs; where none is like a run: the device, or (None) this machine, measured now."""
    finished = finished_runs(store)
    estimate = Estimate(finished, assumed or DEVICES["cpu-core"])
    if assumed or all(isinstance(spec, TimingSpec) or estimate.alike(spec) for spec in specs):
        return estimate
    return Estimate(finished, measure_here())


def seconds_left(store: Store, estimate: Estimate) -> Seconds:
    """What a run will still take: nothing, when it has ended."""
    return lambda spec: 0.0 if store.ended(spec) else estimate(spec)


def part_within(grid: Sequence[Spec], seconds: Seconds, budget: str, jobs: int) -> Part:
    """The part that fits. Exits with 2 when no cell does."""
    part = choose(grid, seconds, budget_seconds(budget) or 0.0, jobs)
    if not part.runs:
        least = min(cell.seconds for cell in part.left_out)
        fail(
            f"--budget {budget}: not one cell fits; the smallest takes about {duration(least)} of work ({jobs} at a time)"
        )
    return part


def show_left_out(part: Part, budget: str) -> None:
    """One line for what fits, one for each cell that does not."""
    work = sum(cell.seconds for cell in part.left_out)
    if not part.left_out:
        console.print(f"  budget   {budget}: the whole grid fits, about {duration(part.seconds)}")
        return
    console.print(f"  budget   {budget}: {len(part.runs)} runs fit, about {duration(part.seconds)}; left out: "
                  f"{len(part.left_out)} cells, {part.left_out_runs} runs, about {duration(work)} of work")  # fmt: skip
    for cell in part.left_out:
        console.print(f"    left out: {_name(cell.runs)}, {len(cell.runs)} seed(s), {duration(cell.seconds)} of work")


def left_out(part: Part) -> list[dict[str, Any]]:
    """The same for JSON. `hours`: of work, with what the cell needs beyond the part."""
    return [{"cell": _name(cell.runs), "seeds": len(cell.runs), "hours": cell.seconds / 3600} for cell in part.left_out]


def _name(runs: Sequence[Spec]) -> str:
    return run_name(runs[0])


def measure_here() -> Device:
    """This machine's accelerator, or one core of it. Loads torch."""
    import torch

    from vitstudy.runs.peak import matmul_peak
    from vitstudy.runs.provenance import device_name

    device, threads = "cuda" if torch.cuda.is_available() else "cpu", torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        peaks = {precision: matmul_peak(device, precision) for precision in ("fp32", "bf16")}
    finally:
        torch.set_num_threads(threads)
    name = device_name(device) if device == "cuda" else f"one core of {device_name(device)}"
    return measured_device(name, peaks, GPU_MFU if device == "cuda" else CORE_MFU)
