"""The command line: one short function per verb. Nothing here loads torch but `worker` and the children it stands for."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from experiments import STUDIES
from vitstudy.runs.store import Store, StoreError
from vitstudy.study.grid import apply, fields, value_at
from vitstudy.study.plan import DEVICES, plan
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.study.study import SCALES, Study

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Re-run the studies of the ViT paper (arXiv 2010.11929) at the size your machine allows. Start with: vitstudy run posemb",
)  # fmt: skip
wandb_app = typer.Typer(no_args_is_help=True, help="Mirror finished runs to Weights & Biases.")
app.add_typer(wandb_app, name="wandb")
out = Console(highlight=False, soft_wrap=True)

USAGE, FAILED, DIVERGED, INTERRUPTED = 2, 70, 65, 75

StudyArg = Annotated[str, typer.Argument(help=f"one of: {', '.join(STUDIES)}")]
ScaleOpt = Annotated[str, typer.Option("--scale", help=f"one of: {', '.join(SCALES)}")]
StoreOpt = Annotated[Path, typer.Option("--store", envvar="VITSTUDY_STORE", help="directory of runs")]
JsonOpt = Annotated[bool, typer.Option("--json", help="machine-readable output")]
SeedsOpt = Annotated[int | None, typer.Option("--seeds", min=1, help="number of seeds, instead of the scale's")]
SetOpt = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="change a field of every run (changes their ids)"),
]
RUNS = Path("runs")


def fail(message: str, code: int = USAGE) -> NoReturn:
    """One line on stderr, then exit."""
    print(f"vitstudy: {message}", file=sys.stderr)
    raise typer.Exit(code)


def _study(name: str, scale: str) -> Study:
    if name not in STUDIES:
        fail(f"unknown study '{name}'; allowed: {', '.join(STUDIES)}")
    if scale not in SCALES:
        fail(f"unknown scale '{scale}'; allowed: {', '.join(SCALES)}")
    return STUDIES[name]


def _specs(
    study: Study, scale: Any, seeds: int | None = None, changes: Sequence[str] | None = None
) -> tuple[RunSpec, ...]:
    """The grid, with --seeds and --set applied. Exits with 2 for a field or value that is not allowed."""
    specs = study.runs(scale)
    try:
        if seeds is not None:
            cells = dict.fromkeys(apply(spec, {"seed": 0}) for spec in specs)
            specs = tuple(apply(cell, {"seed": seed}) for seed in range(seeds) for cell in cells)
        for change in changes or ():
            field, sep, value = change.partition("=")
            if not sep:
                fail(f"--set {change}: write FIELD=VALUE; fields: {', '.join(fields(specs[0]))}")
            if field == "seed" or field in study.factors.values():
                fail(f"--set {field}: the study '{study.name}' varies this field itself")
            specs = tuple(apply(spec, {field: _parse(value)}) for spec in specs)
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"{'.'.join(map(str, first['loc'])) or 'spec'}: {first['msg']}, got {first['input']!r:.80}")
    except ValueError as error:
        fail(str(error))
    return specs


def _parse(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _table(store: Store, study: Study, specs: Sequence[RunSpec]) -> Any:
    from vitstudy.results.table import collect

    return collect(store, specs, study.factors)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, default=str))


@app.command("list")
def list_studies(as_json: JsonOpt = False) -> None:
    """The studies: question, paper items, runs per scale."""
    rows = [
        {
            "study": study.name, "paper": ", ".join(study.paper_items), "question": study.question,
            "runs": {scale: len(study.runs(scale)) for scale in SCALES},
        }
        for study in STUDIES.values()
    ]  # fmt: skip
    if as_json:
        return _print_json(rows)
    table = Table("study", "paper", "question", *SCALES, box=None)
    for row in rows:
        table.add_row(row["study"], row["paper"], row["question"], *(str(n) for n in row["runs"].values()))
    out.print(table)
    out.print("run one with: vitstudy run STUDY --scale nano    (columns at the right: runs at each scale)")
    return None


@app.command("plan")
def plan_study(
    study: StudyArg, scale: ScaleOpt = "nano", seeds: SeedsOpt = None, set_: SetOpt = None,
    device: Annotated[str | None, typer.Option(help=f"one of: {', '.join(DEVICES)}")] = None,
    devices: Annotated[int, typer.Option(min=1, help="devices in parallel")] = 0 or 1,
    mfu: Annotated[float | None, typer.Option(min=0.001, max=1, help="share of the peak that training reaches")] = None,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Price a study before it runs: runs, images, exaFLOPs, device-days at a stated MFU, memory, disk."""
    chosen = _study(study, scale)
    name = device or ("cpu-core" if scale in ("smoke", "nano") else "a100")
    if name not in DEVICES:
        fail(f"unknown device '{name}'; allowed: {', '.join(DEVICES)}")
    hardware = (
        DEVICES[name] if mfu is None else type(DEVICES[name])(DEVICES[name].name, DEVICES[name].peak, mfu, "MFU given")
    )
    specs = _specs(chosen, scale, seeds, set_)
    priced = plan(specs, hardware, devices)
    if as_json:
        return _print_json({"study": study, "scale": scale, **vars(priced), "source": hardware.source})
    spec = specs[0]
    out.print(f"{study} at {scale}: {spec.model.name}, {spec.data.source} at {spec.data.image_size} px")
    out.print(f"  runs         {priced.runs}  ({spec.optim.steps:,} steps of {spec.optim.batch_size} images each)")
    out.print(f"  images       {priced.images:,}")
    out.print(f"  compute      {priced.exaflops:,.4g} exaFLOPs of training (3 x forward, 1 multiply-add = 2 FLOPs)")
    out.print(
        f"  time         {_days(priced.device_days)} on {priced.device} at MFU {priced.mfu:.0%} = {priced.hours:,.3g} h"
    )
    out.print(f"  memory       about {priced.memory_gb:,.2f} GB for one run without recomputation, batch on one device")
    out.print(f"  disk         about {priced.disk_gb:,.2f} GB (largest model {priced.parameters:,} parameters)")
    out.print(f"  rates        {hardware.source}; evaluation and start-up are not included")
    return None


def _days(days: float) -> str:
    return f"{days:,.1f} device-days" if days >= 0.1 else f"{days * 1440:,.1f} device-minutes"


@app.command("run")
def run_study(
    study: StudyArg, scale: ScaleOpt = "nano", store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="runs at a time; default: one per core or accelerator")] = None,
    retry: Annotated[str | None, typer.Option(help="run again what ended so: failed, diverged or all")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="stop everything when a run fails")] = False,
    max_time: Annotated[float | None, typer.Option(min=0, help="minutes; then save, stop and exit 75")] = None,
    precision: Annotated[str, typer.Option(help="auto (measured here), fp32 or bf16")] = "auto",
    attention: Annotated[str, typer.Option(help="auto (measured here), fused or plain")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    checkpoint_every: Annotated[int | None, typer.Option(min=1, help="steps between checkpoints; default: 30 s")] = None,
    wandb: Annotated[str, typer.Option(help="off, offline or online")] = "offline",
    report: Annotated[bool, typer.Option(help="print the table and draw the figures at the end")] = True,
) -> None:  # fmt: skip
    """Run a study: only what is missing, as many runs at a time as fit; then its table and figures."""
    from vitstudy.runs.launch import Launcher, Options, default_jobs
    from vitstudy.runs.progress import Display, duration

    chosen = _study(study, scale)
    specs = _specs(chosen, scale, seeds, set_)
    _check_choice("--wandb", wandb, ("off", "offline", "online"))
    _check_choice("--retry", retry, (None, "failed", "diverged", "all"))
    try:
        Execution.model_validate({"precision": precision, "attention": attention, "device": device})
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"--{first['loc'][0]}: {first['msg']}, got '{first['input']}'")
    _check_data(specs)
    runs = Store(store)
    runs.check_writable()
    again = {"failed", "diverged"} if retry == "all" else {retry}
    for spec in specs:
        if runs.state(spec) in again:
            runs.reset(spec)
    pending = [spec for spec in specs if not runs.ended(spec)]
    if pending:
        count = jobs or default_jobs(len(pending))
        out.print(_first_line(runs, chosen, scale, specs, pending, count, duration))
        worker = [
            "worker",
            study,
            "--scale",
            scale,
            "--store",
            str(store),
            "--precision",
            precision,
            "--attention",
            attention,
        ]
        worker += ["--device", device]
        worker += ["--seeds", str(seeds)] if seeds else []
        worker += [word for change in set_ or () for word in ("--set", change)]
        worker += ["--checkpoint-every", str(checkpoint_every)] if checkpoint_every else []
        options = Options(tuple(worker), count, fail_fast, None if max_time is None else max_time * 60)
        Launcher(runs, specs, options, Display(out, chosen.metric)).run()
    else:
        out.print(f"{study} at {scale}: all {len(specs)} runs have ended already, nothing to launch")
    states = Counter(runs.state(spec) for spec in specs)
    if report and states["done"]:
        _report(runs, chosen, scale, specs)
        _mirror(store, study, scale, wandb, seeds, set_)
    _exit(runs, specs, states)


def _check_choice(name: str, value: str | None, allowed: tuple[str | None, ...]) -> None:
    if value not in allowed:
        fail(f"{name} '{value}' is not allowed; allowed: {', '.join(str(a) for a in allowed if a)}")


def _check_data(specs: Sequence[RunSpec]) -> None:
    from vitstudy.data.sources import SOURCES

    for name in {spec.data.source for spec in specs}:
        if name not in SOURCES:
            fail(f"data.source '{name}' is unknown; allowed: {', '.join(SOURCES)}")
        if SOURCES[name].read is None:
            usable = ", ".join(key for key, source in SOURCES.items() if source.read)
            fail(
                f"data set '{name}' does not come with vitstudy: this scale can be priced (vitstudy plan), not run; usable: {usable}"
            )


def _first_line(
    store: Store, study: Study, scale: str, specs: Sequence[RunSpec], pending: Sequence[RunSpec], jobs: int,
    duration: Callable[[float], str],
) -> str:  # fmt: skip
    finished = [result["cost"]["train_seconds"] for spec in specs if (result := store.result(spec))]
    if finished:
        seconds, basis = 1.1 * sum(finished) / len(finished) * len(pending) / jobs, "from the finished runs"
    else:
        seconds = plan(pending, DEVICES["cpu-core"], jobs).hours * 3600 * 1.2
        basis = "assumed for CPU cores with bf16 instructions; others are slower, GPUs faster"
    done = len(specs) - len(pending)
    return (
        f"{study.name} at {scale}: {len(pending)} runs to do ({done} of {len(specs)} ended before), {jobs} at a time, "
        f"about {duration(seconds)} ({basis})"
    )


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


@app.command()
def worker(
    study: StudyArg, scale: ScaleOpt = "nano", store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: all")] = None,
    max_time: Annotated[float | None, typer.Option(min=0, help="minutes; then save, stop and exit 75")] = None,
    precision: str = "auto", attention: str = "auto", device: str = "auto",
    checkpoint_every: Annotated[int | None, typer.Option(min=1, help="steps between checkpoints; default: 30 s")] = None,
) -> None:  # fmt: skip
    """Claim and execute runs until none is left. Start as many as you like, on any machine that sees the store."""
    chosen = _study(study, scale)
    specs = _specs(chosen, scale, seeds, set_)
    _check_data(specs)
    runs = Store(store)
    runs.check_writable()
    execution = Execution.model_validate(
        {
            "threads": threads, "precision": precision, "attention": attention, "device": device,
            "checkpoint_every_steps": checkpoint_every,
        }
    )  # fmt: skip
    from vitstudy.runs.worker import StopRequest, work

    stop = StopRequest(None if max_time is None else max_time * 60)
    stop.install()
    raise typer.Exit(work(runs, specs, execution, stop))


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(help="default: all studies")] = None, scale: ScaleOpt = "nano",
    store: StoreOpt = RUNS, as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """How many runs of each study are planned, running, done, failed, diverged, interrupted."""
    runs, rows = Store(store), []
    for name in [study] if study else list(STUDIES):
        specs = _study(name, scale).runs(scale)  # type: ignore[arg-type]
        states = Counter(runs.state(spec) for spec in specs)
        running = {runs.path(s).name: runs.status(s).get("step") for s in specs if runs.state(s) == "running"}
        errors = {
            runs.path(s).name: runs.status(s).get("error") for s in specs if runs.state(s) in ("failed", "diverged")
        }
        rows.append(
            {
                "study": name,
                "scale": scale,
                "runs": len(specs),
                **states,
                "at_step": running,
                "errors": errors,
            }
        )
    if as_json:
        return _print_json(rows)
    for row in rows:
        counts = ", ".join(f"{row[state]} {state}" for state in _STATES if row.get(state))
        out.print(f"{row['study']} at {scale}: {row['runs']} runs: {counts}")
        for kind in ("at_step", "errors"):
            for name, fact in row[kind].items():
                out.print(f"  {name}: {'step ' if kind == 'at_step' else ''}{fact}")
    return None


_STATES = ("done", "running", "interrupted", "planned", "failed", "diverged")


@app.command()
def results(
    study: StudyArg, scale: ScaleOpt = "nano", store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None,
    metric: Annotated[str | None, typer.Option(help="default: the study's own")] = None,
    runs: Annotated[bool, typer.Option("--runs", help="one row per run instead of the comparison")] = False,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """The study's table beside the published numbers, and the verdicts on its claims."""
    chosen = _study(study, scale)
    table = _table(Store(store), chosen, _specs(chosen, scale, seeds, set_))
    name = metric or chosen.metric
    if name not in table.columns:
        fail(f"--metric '{name}' is not in the results; allowed: {', '.join(c for c in table.columns if '/' in c)}")
    if runs:
        print(table.to_json(orient="records", indent=1) if as_json else table.to_string(index=False))
        return
    from vitstudy.report import posemb_report

    posemb_report(table, name, scale, out, as_json)


@app.command()
def figures(
    study: Annotated[str, typer.Argument(help="default: all studies")] = "all", scale: ScaleOpt = "nano",
    store: StoreOpt = RUNS, to: Annotated[Path, typer.Option(help="writes DIR/figures/SCALE and DIR/tables/SCALE")] = Path("analysis"),
    strict: Annotated[bool, typer.Option("--strict", help="exit non-zero when a run is missing")] = False,
) -> None:  # fmt: skip
    """Redraw the figures and the tables behind them, offline, from the store."""
    for name in STUDIES if study == "all" else [study]:
        chosen = _study(name, scale)
        runs = Store(store)
        specs = chosen.runs(scale)  # type: ignore[arg-type]
        missing = sum(not runs.is_done(spec) for spec in specs)
        if missing == len(specs):
            fail(f"no finished run of {name} at {scale} in {store}; run it first: vitstudy run {name} --scale {scale}")
        for path in _draw(runs, chosen, scale, specs, to):
            out.print(str(path))
        if missing and strict:
            fail(f"{missing} of {len(specs)} runs of {name} are missing", FAILED)


def _draw(store: Store, study: Study, scale: str, specs: Sequence[RunSpec], to: Path = Path("analysis")) -> list[Path]:
    from vitstudy.report import draw_figures

    return draw_figures(store, study, scale, specs, to)


def _report(store: Store, study: Study, scale: str, specs: Sequence[RunSpec]) -> None:
    from vitstudy.report import posemb_report

    posemb_report(_table(store, study, specs), study.metric, scale, out, as_json=False)
    for path in _draw(store, study, scale, specs):
        out.print(f"  {path}")


def _mirror(store: Path, study: str, scale: str, mode: str, seeds: int | None, set_: Sequence[str] | None) -> None:
    """Hand the mirroring to a process of its own; wait a few seconds at most."""
    from vitstudy.runs import tracking

    if mode == "off" or not tracking.available():
        return
    argv = [
        sys.executable,
        "-m",
        "vitstudy.cli",
        "wandb",
        "push",
        study,
        "--scale",
        scale,
        "--store",
        str(store),
    ]
    argv += ["--mode", mode] + (["--seeds", str(seeds)] if seeds else [])
    argv += [word for change in set_ or () for word in ("--set", change)]
    log = store / "wandb" / "mirror.log"
    code = tracking.launch(argv, log)
    if code is None:
        out.print(f"W&B mirror: goes on in the background ({log}); `vitstudy wandb push {study}` repeats it safely")
    elif code:
        out.print(f"W&B mirror: failed, see {log}; no result is affected")


@wandb_app.command("push")
def wandb_push(
    study: StudyArg, scale: ScaleOpt = "nano", store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None,
    mode: Annotated[str, typer.Option(help="offline or online")] = "offline",
    project: Annotated[str, typer.Option(help="W&B project")] = "vitstudy",
) -> None:  # fmt: skip
    """Mirror every finished run and one summary run; pushing twice changes nothing."""
    from vitstudy.report import push_study

    _check_choice("--mode", mode, ("offline", "online"))
    chosen = _study(study, scale)
    out.print(push_study(Store(store), chosen, scale, _specs(chosen, scale, seeds, set_), mode, project))


@app.command()
def doctor(store: StoreOpt = RUNS) -> None:
    """Check what a run needs: libraries, data checksums, a writable store, and the speed of this machine."""
    from vitstudy.doctor import check

    problems = check(Store(store), out)
    if problems:
        fail(f"{problems} problem(s) found", FAILED)


def main() -> None:
    """Entry point: a user's mistake is one line and an exit code, never a traceback."""
    from vitstudy.errors import USER_ERRORS

    try:
        app()
    except StoreError as error:
        print(f"vitstudy: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except USER_ERRORS as error:
        print(f"vitstudy: {error}", file=sys.stderr)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
