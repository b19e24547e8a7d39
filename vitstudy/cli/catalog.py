"""Verbs that run nothing: `list` and `plan`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.table import Table

from experiments import STUDIES
from vitstudy.cli.selection import (
    JsonOpt,
    ScaleOpt,
    SeedsOpt,
    SetOpt,
    StudyArg,
    choose,
    console,
    print_json,
    specs_of,
    study_of,
)  # fmt: skip
from vitstudy.study.plan import DEVICES, plan
from vitstudy.study.study import SCALES, Study


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
    device: Annotated[str | None, typer.Option(help=f"one of: {', '.join(DEVICES)}")] = None,
    devices: Annotated[int, typer.Option(min=1, help="devices in parallel")] = 1,
    mfu: Annotated[float | None, typer.Option(min=0.001, max=1, help="share of the peak that training reaches")] = None,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Price a study before it runs: runs, images, exaFLOPs, device-days at a stated MFU, memory, disk."""
    chosen = study_of(study, scale)
    choose("--device", device, tuple(DEVICES))
    hardware = DEVICES[device or ("cpu-core" if scale in ("smoke", "nano") else "a100")]
    if mfu is not None:
        hardware = replace(hardware, mfu=mfu, source=f"{hardware.source}; MFU as given")
    specs = specs_of(chosen, scale, seeds, set_)
    priced = plan(specs, hardware, devices)
    if as_json:
        print_json({"study": study, "scale": scale, **vars(priced), "source": hardware.source})
        return
    spec = specs[0]
    lines = {
        "runs": f"{priced.runs}  ({spec.optim.steps:,} steps of {spec.optim.batch_size} images each)",
        "images": f"{priced.images:,}",
        "compute": f"{priced.exaflops:,.4g} exaFLOPs of training (3 x forward, 1 multiply-add = 2 FLOPs)",
        "time": f"{_days(priced.device_days)} on {priced.device} at MFU {priced.mfu:.0%} = {priced.hours:,.3g} h",
        "memory": f"about {priced.memory_gb:,.2f} GB for one run, its whole batch on one device, nothing recomputed",
        "disk": f"about {priced.disk_gb:,.2f} GB (largest model {priced.parameters:,} parameters)",
        "rates": f"{hardware.source}; evaluation and start-up are not included",
    }
    console.print(f"{study} at {scale}: {spec.model.name}, {spec.data.source} at {spec.data.image_size} px")
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
