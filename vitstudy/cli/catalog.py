"""Verbs that run nothing: `list` and `plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.table import Table

from experiments import STUDIES
from vitstudy.cli.pricing import (
    BudgetOpt,
    budget_seconds,
    estimate_of,
    left_out,
    measure_here,
    part_within,
    seconds_left,
    show_left_out,
)
from vitstudy.cli.selection import (
    RUNS,
    JsonOpt,
    ScaleOpt,
    SeedsOpt,
    SetOpt,
    StoreOpt,
    StudyArg,
    choose,
    console,
    grid_of,
    print_json,
    specs_of,
    study_of,
)  # fmt: skip
from vitstudy.runs.estimate import Estimate
from vitstudy.runs.progress import duration
from vitstudy.runs.store import Store
from vitstudy.study.budget import Seconds, wall_seconds
from vitstudy.study.plan import DEVICES, Device, Plan, plan
from vitstudy.study.spec import RunSpec
from vitstudy.study.study import SCALES, Study
from vitstudy.study.timing import Spec


def list_studies(as_json: JsonOpt = False) -> None:
    """The studies: question, paper items, runs per scale."""
    if as_json:
        print_json([_facts(study) for study in STUDIES.values()])
        return
    table = Table("study", "paper", "question", *SCALES, box=None)
    for study in STUDIES.values():
        counts = (str(len(study.runs(scale))) for scale in SCALES)
        table.add_row(study.name, ", ".join(study.paper_items), study.question, *counts)
    console.print(table)
    console.print("run one with: vitstudy run STUDY --scale nano    (columns at the right: runs at each scale)")
    return


def plan_study(
    study: StudyArg, scale: ScaleOpt = "nano", seeds: SeedsOpt = None, set_: SetOpt = None,
    device: Annotated[
        str | None, typer.Option(help=f"one of: {', '.join(DEVICES)}, or measured: this machine, by its matmul peak")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="devices in parallel")] = 1,
    mfu: Annotated[float | None, typer.Option(min=0.001, max=1, help="share of the peak that training reaches")] = None,
    budget: BudgetOpt = None, store: StoreOpt = RUNS, as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Price a study before it runs: runs, images, exaFLOPs, device-days at a stated MFU, memory, disk; what fits a budget.

    Without --device, what is left to run is estimated from the finished runs of the store.
    """
    chosen = study_of(study, scale)
    choose("--device", device, (*DEVICES, "measured"))
    budget_seconds(budget)
    hardware = _hardware(device, scale, mfu)
    specs = specs_of(chosen, scale, seeds, set_)
    estimate, seconds = _left(Store(store), specs, device or mfu, hardware)
    left = [spec for spec in specs if seconds(spec)]
    part = None if budget is None else part_within(grid_of(chosen, scale, seeds, set_), seconds, budget, devices)
    wall, basis = wall_seconds(left, seconds, devices), estimate.basis(left)
    priced = plan(specs, hardware, devices)
    if as_json:
        facts = {"study": study, "scale": scale, **vars(priced), "source": hardware.source}
        facts["left"] = {"runs": len(left), "hours": wall / 3600, "basis": basis}
        if part is not None:
            kept = {"runs": len(part.runs), "hours": part.seconds / 3600, "left_out_runs": part.left_out_runs}
            facts["budget"] = {"given": budget, **kept, "left_out": left_out(part)}
        print_json(facts)
        return
    _show(f"{study} at {scale}", specs, priced, hardware)
    console.print(f"  left     {len(left)} of {len(specs)} runs, about {duration(wall)}, {devices} at a time ({basis})")
    if part is not None and budget is not None:
        show_left_out(part, budget)


def _hardware(device: str | None, scale: str, mfu: float | None) -> Device:
    named = device or ("cpu-core" if scale in ("smoke", "nano") else "a100")
    hardware = measure_here() if named == "measured" else DEVICES[named]
    return hardware if mfu is None else replace(hardware, mfu=mfu, source=f"{hardware.source}; MFU as given")


def _left(store: Store, specs: Sequence[Spec], named: object, hardware: Device) -> tuple[Estimate, Seconds]:
    """On hardware that was named, the whole study; else what the store has not finished, as its finished runs tell."""
    if named:
        estimate = Estimate((), hardware)
        return estimate, estimate
    estimate = estimate_of(store, specs, hardware)
    return estimate, seconds_left(store, estimate)


def _show(title: str, specs: Sequence[Spec], priced: Plan, hardware: Device) -> None:
    spec, runs, data = specs[0], f"{priced.runs}", ""
    if isinstance(spec, RunSpec):
        steps = sorted({run.optim.steps for run in specs if isinstance(run, RunSpec)})
        many = f"{steps[0]:,} to {steps[-1]:,}" if len(steps) > 1 else f"{steps[0]:,}"
        runs += f"  ({many} steps of {spec.optim.batch_size} images each)"
        data = f"{spec.data.source} at "
    lines = {
        "runs": runs,
        "images": f"{priced.images:,}",
        "compute": f"{priced.exaflops:,.4g} exaFLOPs of training (3 x forward, 1 multiply-add = 2 FLOPs)",
        "time": f"{_days(priced.device_days)} on {priced.device} at MFU {priced.mfu:.0%} = {priced.hours:,.3g} h",
        "memory": f"about {priced.memory_gb:,.2f} GB for one run, its whole batch on one device, nothing recomputed",
        "disk": f"about {priced.disk_gb:,.2f} GB (largest model {priced.parameters:,} parameters)",
        "rates": f"{hardware.source}; evaluation and start-up are not included",
    }
    console.print(f"{title}: {spec.model.name}, {data}{spec.model.image_size} px")
    for name, text in lines.items():
        console.print(f"  {name:<9}{text}")


def _days(days: float) -> str:
    return f"{days:,.1f} device-days" if days >= 0.1 else f"{days * 1440:,.1f} device-minutes"


def _facts(study: Study) -> dict[str, Any]:
    return {
        "study": study.name,
        "paper": study.paper_items,
        "question": study.question,
        "claims": study.claims,
        "metrics": dict(study.metrics),
        "runs": {scale: len(study.runs(scale)) for scale in SCALES},
    }
