"""`wandb push`, and how `run` starts it: in a process of its own, waited for a few seconds at most."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vitstudy.cli.selection import (
    ANALYSIS,
    RUNS,
    ScaleOpt,
    SeedsOpt,
    SetOpt,
    StoreOpt,
    StudyArg,
    ToOpt,
    choose,
    console,
    fail,
    specs_of,
    study_of,
)  # fmt: skip
from vitstudy.runs import tracking
from vitstudy.runs.store import Store


def push(
    study: StudyArg, scale: ScaleOpt = "nano", store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None,
    mode: Annotated[str, typer.Option(help="offline or online")] = "offline",
    project: Annotated[str, typer.Option(help="W&B project")] = "vitstudy", figures: ToOpt = ANALYSIS,
) -> None:  # fmt: skip
    """Mirror every finished run and one summary run; pushing twice changes nothing."""
    from vitstudy.results.report import REPORTS
    from vitstudy.results.table import collect

    choose("--mode", mode, ("offline", "online"))
    if not tracking.available():
        fail("wandb is not installed; install it with: pip install 'vitstudy[wandb]'")
    chosen, runs = study_of(study, scale), Store(store)
    specs = specs_of(chosen, scale, seeds, set_)
    table = collect(runs, specs, chosen.factors)
    if not (table["state"] == "done").any():
        fail(f"no finished run of {study} at {scale} in {store}; first: vitstudy run {study} --scale {scale}")
    report = REPORTS[study](table, chosen.metric(scale), scale)
    rows = [list(record.values()) for record in report.main.records()]
    pictures = [figures / "figures" / scale / f"{name}.png" for name in chosen.figures]
    summary = tracking.Summary(
        study=study, scale=scale, columns=list(report.main.frame.columns), rows=rows,
        figures=[path for path in pictures if path.exists()],
        facts={f"verdict/{verdict.claim}": verdict.word for verdict in report.verdicts},
    )  # fmt: skip
    console.print(tracking.push(runs, specs, summary, mode, project))


def start(store: Path, study: str, scale: str, mode: str, grid: Sequence[str], to: Path) -> None:
    """Hand the mirroring to a process of its own. Never fails, never waits for long: no result depends on it."""
    if mode == "off" or not tracking.available():
        return
    words = ["wandb", "push", study, "--scale", scale, "--store", str(store), "--mode", mode, "--to", str(to), *grid]
    log = store / "wandb" / "mirror.log"
    code = tracking.launch([sys.executable, "-m", "vitstudy", *words], log)
    if code is None:
        console.print(f"W&B mirror: goes on in the background ({log}); `vitstudy wandb push {study}` repeats it safely")
    elif code:
        console.print(f"W&B mirror: failed, see {log}; no result is affected")
    else:
        console.print(f"W&B mirror: {log.read_text().strip().splitlines()[-1]}")
