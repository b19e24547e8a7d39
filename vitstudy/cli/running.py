"""Verbs that execute runs: `run` starts workers and reports; `worker` claims runs and executes them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from vitstudy.cli import mirror, reporting
from vitstudy.cli.pricing import BudgetOpt, budget_seconds, estimate_of, part_within, seconds_left, show_left_out
from vitstudy.cli.selection import (
    ANALYSIS,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    RUNS,
    ScaleOpt,
    SeedsOpt,
    SetOpt,
    StoreOpt,
    StudyArg,
    ToOpt,
    check_data,
    choose,
    console,
    fail,
    grid_of,
    specs_of,
    study_of,
)  # fmt: skip
from vitstudy.runs.store import Store
from vitstudy.study.budget import wall_seconds
from vitstudy.study.identity import run_id
from vitstudy.study.plan import DEVICES
from vitstudy.study.spec import Execution
from vitstudy.study.study import Study
from vitstudy.study.timing import Spec

MaxTimeOpt = Annotated[float | None, typer.Option(min=0, help="minutes; then save, stop and exit 75")]
PrecisionOpt = Annotated[str, typer.Option(help="auto (measured here), fp32 or bf16")]
AttentionOpt = Annotated[str, typer.Option(help="auto (measured here), fused or plain kernel")]
LayoutOpt = Annotated[str, typer.Option(help="auto (measured here), channels-first or channels-last feature maps")]
DeviceOpt = Annotated[str, typer.Option(help="auto, cpu or cuda")]
EveryOpt = Annotated[int | None, typer.Option(min=1, help="steps between checkpoints; default: 30 s")]


def run_study(
    study: StudyArg, scale: ScaleOpt = "nano", store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="runs at a time; default: one per core or GPU")] = None,
    retry: Annotated[str | None, typer.Option(help="run again what ended so: failed, diverged or all")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="stop everything when a run fails")] = False,
    budget: BudgetOpt = None, max_time: MaxTimeOpt = None, precision: PrecisionOpt = "auto", attention: AttentionOpt = "auto",
    layout: LayoutOpt = "auto", device: DeviceOpt = "auto", checkpoint_every: EveryOpt = None, to: ToOpt = ANALYSIS,
    wandb: Annotated[str, typer.Option(help="off, offline or online")] = "offline",
    report: Annotated[bool, typer.Option(help="at the end print the table and draw the figures")] = True,
) -> None:  # fmt: skip
    """Run a study: only what is missing, as many runs at a time as fit; then its table and figures."""
    chosen = study_of(study, scale)
    specs = specs_of(chosen, scale, seeds, set_)
    budget_seconds(budget)
    jobs = _jobs(chosen, jobs)
    choose("--wandb", wandb, ("off", "offline", "online"))
    choose("--retry", retry, ("failed", "diverged", "all"))
    words = ["--precision", precision, "--attention", attention, "--layout", layout, "--device", device]
    _execution(precision, attention, layout, device)
    check_data(specs)
    runs = Store(store)
    runs.check_writable()
    _reset(runs, specs, retry)
    todo = specs if budget is None else _within(runs, grid_of(chosen, scale, seeds, set_), budget, jobs)
    pending = [spec for spec in todo if not runs.ended(spec)]
    grid = ["--seeds", str(seeds)] if seeds else []
    grid += [word for change in set_ or () for word in ("--set", change)]
    if pending:
        words += ["--checkpoint-every", str(checkpoint_every)] if checkpoint_every else []
        words += ["--only", ",".join(map(run_id, todo))] if budget else []
        _launch(runs, chosen, scale, todo, pending, [*grid, *words], jobs, fail_fast, max_time)
    else:
        console.print(f"{study} at {scale}: all {len(todo)} runs have ended already, nothing to launch")
    states = Counter(str(runs.state(spec)) for spec in todo)
    if report and states["done"]:
        reporting.publish(runs, chosen, scale, specs, to)
        mirror.start(store, study, scale, wandb, grid, to)
    _exit(runs, todo, states)


def _jobs(study: Study, jobs: int | None) -> int | None:
    """1 for a study that measures speed. Exits with 2 when more were asked for."""
    if study.exclusive and jobs not in (None, 1):
        fail(
            f"--jobs {jobs} is not allowed: runs of '{study.name}' measure speed and would disturb each other; allowed: 1"
        )
    return 1 if study.exclusive else jobs


def _execution(precision: str, attention: str, layout: str, device: str, **more: Any) -> Execution:
    choose("--precision", precision, ("auto", "fp32", "bf16"))
    choose("--attention", attention, ("auto", "fused", "plain"))
    choose("--layout", layout, ("auto", "channels-first", "channels-last"))
    choose("--device", device, ("auto", "cpu", "cuda"))
    chosen = {"precision": precision, "attention": attention, "layout": layout, "device": device}
    return Execution.model_validate({**chosen, **more})


def _reset(store: Store, specs: Sequence[Spec], retry: str | None) -> None:
    again = {"failed", "diverged"} if retry == "all" else {retry}
    for spec in specs:
        if store.state(spec) in again:
            store.reset(spec)


def _launch(
    store: Store, study: Study, scale: str, specs: Sequence[Spec], pending: Sequence[Spec], words: Sequence[str],
    jobs: int | None, fail_fast: bool, max_time: float | None,
) -> None:  # fmt: skip
    from vitstudy.runs.launch import Launcher, Options, accelerators, default_jobs
    from vitstudy.runs.progress import Display, duration

    count = jobs or default_jobs(len(pending))
    estimate = estimate_of(store, pending, None if accelerators() else DEVICES["cpu-core"])
    seconds = wall_seconds(pending, seconds_left(store, estimate), count)
    console.print(
        f"{study.name} at {scale}: {len(pending)} runs to do ({len(specs) - len(pending)} of {len(specs)} ended before), "
        f"{count} at a time{', as they measure speed' if study.exclusive else ''}, about {duration(seconds)} "
        f"({estimate.basis(pending)})"
    )
    worker = ("worker", study.name, "--scale", scale, "--store", str(store.root), *words)
    options = Options(worker, count, fail_fast, None if max_time is None else max_time * 60)
    Launcher(store, specs, options, Display(console, study.metric(scale))).run()


def _within(store: Store, grid: Sequence[Spec], budget: str, jobs: int | None) -> tuple[Spec, ...]:
    """The part of the grid that fits into a budget of time; says what was left out. Exits with 2 when nothing fits."""
    from vitstudy.runs.launch import default_jobs

    estimate = estimate_of(store, grid, None)
    part = part_within(grid, seconds_left(store, estimate), budget, jobs or default_jobs(len(grid)))
    console.print(f"estimates: {estimate.basis(grid)}")
    show_left_out(part, budget)
    return part.runs


def _exit(store: Store, specs: Sequence[Spec], states: Counter[str]) -> None:
    """Exit 0 only when every run is done."""
    if states["done"] == len(specs):
        return
    for spec in specs:
        if store.state(spec) in ("failed", "diverged"):
            print(f"vitstudy: {store.path(spec).name}: {store.status(spec).get('error', '')}", file=sys.stderr)
    counts = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
    print(f"vitstudy: not all of {len(specs)} runs are done: {counts}", file=sys.stderr)
    if states["failed"] or states["diverged"]:
        print("vitstudy: run the same command with --retry failed|diverged|all to try again", file=sys.stderr)
    raise typer.Exit(FAILED if states["failed"] else DIVERGED if states["diverged"] else INTERRUPTED)


def worker(
    study: StudyArg, scale: ScaleOpt = "nano", store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: all")] = None,
    only: Annotated[str | None, typer.Option(help="of the grid, only the runs of these ids, separated by commas")] = None,
    max_time: MaxTimeOpt = None, precision: PrecisionOpt = "auto", attention: AttentionOpt = "auto",
    layout: LayoutOpt = "auto", device: DeviceOpt = "auto", checkpoint_every: EveryOpt = None,
) -> None:  # fmt: skip
    """Claim and execute runs until none is left. Start as many as you like, on any machine that sees the store."""
    specs = specs_of(study_of(study, scale), scale, seeds, set_)
    if only is not None:
        specs = tuple(spec for spec in specs if run_id(spec) in only.split(","))
    execution = _execution(
        precision, attention, layout, device, threads=threads, checkpoint_every_steps=checkpoint_every
    )
    check_data(specs)
    runs = Store(store)
    runs.check_writable()
    from vitstudy.runs.worker import StopRequest, work

    stop = StopRequest(None if max_time is None else max_time * 60)
    stop.install()
    raise typer.Exit(work(runs, specs, execution, stop))
