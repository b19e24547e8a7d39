"""Verbs that execute runs: `run` starts workers and reports; `worker` claims runs and executes them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from vitstudy.cli import mirror, reporting
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
    specs_of,
    study_of,
)  # fmt: skip
from vitstudy.runs.store import Store
from vitstudy.study.plan import DEVICES, plan
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.study.study import Study

MaxTimeOpt = Annotated[float | None, typer.Option(min=0, help="minutes; then save, stop and exit 75")]
PrecisionOpt = Annotated[str, typer.Option(help="auto (measured here), fp32 or bf16")]
AttentionOpt = Annotated[str, typer.Option(help="auto (measured here), fused or plain kernel")]
DeviceOpt = Annotated[str, typer.Option(help="auto, cpu or cuda")]
EveryOpt = Annotated[int | None, typer.Option(min=1, help="steps between checkpoints; default: 30 s")]


def run_study(
    study: StudyArg, scale: ScaleOpt = "nano", store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="runs at a time; default: one per core or GPU")] = None,
    retry: Annotated[str | None, typer.Option(help="run again what ended so: failed, diverged or all")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="stop everything when a run fails")] = False,
    max_time: MaxTimeOpt = None, precision: PrecisionOpt = "auto", attention: AttentionOpt = "auto",
    device: DeviceOpt = "auto", checkpoint_every: EveryOpt = None, to: ToOpt = ANALYSIS,
    wandb: Annotated[str, typer.Option(help="off, offline or online")] = "offline",
    report: Annotated[bool, typer.Option(help="at the end print the table and draw the figures")] = True,
) -> None:  # fmt: skip
    """Run a study: only what is missing, as many runs at a time as fit; then its table and figures."""
    chosen = study_of(study, scale)
    specs = specs_of(chosen, scale, seeds, set_)
    choose("--wandb", wandb, ("off", "offline", "online"))
    choose("--retry", retry, ("failed", "diverged", "all"))
    words = ["--precision", precision, "--attention", attention, "--device", device]
    _execution(precision, attention, device)
    check_data(specs)
    runs = Store(store)
    runs.check_writable()
    _reset(runs, specs, retry)
    pending = [spec for spec in specs if not runs.ended(spec)]
    grid = ["--seeds", str(seeds)] if seeds else []
    grid += [word for change in set_ or () for word in ("--set", change)]
    if pending:
        words += ["--checkpoint-every", str(checkpoint_every)] if checkpoint_every else []
        _launch(runs, chosen, scale, specs, pending, [*grid, *words], jobs, fail_fast, max_time)
    else:
        console.print(f"{study} at {scale}: all {len(specs)} runs have ended already, nothing to launch")
    states = Counter(str(runs.state(spec)) for spec in specs)
    if report and states["done"]:
        reporting.publish(runs, chosen, scale, specs, to)
        mirror.start(store, study, scale, wandb, grid, to)
    _exit(runs, specs, states)


def _execution(precision: str, attention: str, device: str, **more: Any) -> Execution:
    choose("--precision", precision, ("auto", "fp32", "bf16"))
    choose("--attention", attention, ("auto", "fused", "plain"))
    choose("--device", device, ("auto", "cpu", "cuda"))
    return Execution.model_validate({"precision": precision, "attention": attention, "device": device, **more})


def _reset(store: Store, specs: Sequence[RunSpec], retry: str | None) -> None:
    again = {"failed", "diverged"} if retry == "all" else {retry}
    for spec in specs:
        if store.state(spec) in again:
            store.reset(spec)


def _launch(
    store: Store, study: Study, scale: str, specs: Sequence[RunSpec], pending: Sequence[RunSpec], words: Sequence[str],
    jobs: int | None, fail_fast: bool, max_time: float | None,
) -> None:  # fmt: skip
    from vitstudy.runs.launch import Launcher, Options, default_jobs
    from vitstudy.runs.progress import Display, duration

    count = jobs or default_jobs(len(pending))
    seconds, basis = _estimate(store, specs, pending, count)
    console.print(
        f"{study.name} at {scale}: {len(pending)} runs to do ({len(specs) - len(pending)} of {len(specs)} ended before), "
        f"{count} at a time, about {duration(seconds)} ({basis})"
    )
    worker = ("worker", study.name, "--scale", scale, "--store", str(store.root), *words)
    options = Options(worker, count, fail_fast, None if max_time is None else max_time * 60)
    Launcher(store, specs, options, Display(console, study.metrics[scale])).run()


def _estimate(store: Store, specs: Sequence[RunSpec], pending: Sequence[RunSpec], jobs: int) -> tuple[float, str]:
    finished = [result["cost"]["train_seconds"] for spec in specs if (result := store.result(spec))]
    if finished:
        return 1.2 * sum(finished) / len(finished) * len(pending) / jobs, "from the finished runs"
    hours = plan(pending, DEVICES["cpu-core"], jobs).hours
    return 3 + 1.2 * (
        3600 * hours + len(pending) / jobs
    ), "assumed: CPU cores with bf16 instructions; others are slower, GPUs faster"


def _exit(store: Store, specs: Sequence[RunSpec], states: Counter[str]) -> None:
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
    max_time: MaxTimeOpt = None, precision: PrecisionOpt = "auto", attention: AttentionOpt = "auto",
    device: DeviceOpt = "auto", checkpoint_every: EveryOpt = None,
) -> None:  # fmt: skip
    """Claim and execute runs until none is left. Start as many as you like, on any machine that sees the store."""
    specs = specs_of(study_of(study, scale), scale, seeds, set_)
    execution = _execution(precision, attention, device, threads=threads, checkpoint_every_steps=checkpoint_every)
    check_data(specs)
    runs = Store(store)
    runs.check_writable()
    from vitstudy.runs.worker import StopRequest, work

    stop = StopRequest(None if max_time is None else max_time * 60)
    stop.install()
    raise typer.Exit(work(runs, specs, execution, stop))
