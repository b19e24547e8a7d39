"""Verbs that show what was found: `status`, `results`, `figures`. No torch."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments import STUDIES
from vitstudy.cli.selection import (
    ANALYSIS,
    FAILED,
    RUNS,
    JsonOpt,
    ScaleOpt,
    SeedsOpt,
    SetOpt,
    StoreOpt,
    StudyArg,
    ToOpt,
    console,
    fail,
    print_json,
    specs_of,
    study_of,
)  # fmt: skip
from vitstudy.runs.store import Store
from vitstudy.study.grid import value_at
from vitstudy.study.study import Study
from vitstudy.study.timing import Spec

_WIDEST = 250
"""Characters that a table may take, whatever the terminal's width."""

_STATES = ("done", "running", "interrupted", "planned", "failed", "diverged")


def status(
    study: Annotated[str | None, typer.Argument(help="default: all studies")] = None, scale: ScaleOpt = "nano",
    store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None, as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """How many runs of each study are done, running, interrupted, planned, failed, diverged."""
    runs, rows = Store(store), []
    for name in [study] if study else STUDIES:
        specs = specs_of(study_of(name, scale), scale, seeds, set_)
        rows.append({"study": name, "scale": scale, "runs": len(specs), **_progress(runs, specs)})
    if as_json:
        print_json(rows)
        return
    for row in rows:
        counts = ", ".join(f"{row['states'][state]} {state}" for state in _STATES if row["states"].get(state))
        console.print(f"{row['study']} at {scale}: {row['runs']} runs: {counts}")
        for run, step in row["at_step"].items():
            console.print(f"  {run}: at step {step}")
        for run, error in row["errors"].items():
            console.print(f"  {run}: {error}")


def _progress(store: Store, specs: Sequence[Spec]) -> dict[str, Any]:
    states = {spec: store.state(spec) for spec in specs}
    steps, errors = {}, {}
    for spec, state in states.items():
        if state in ("running", "interrupted"):
            steps[store.path(spec).name] = store.status(spec).get("step", 0)
        elif state in ("failed", "diverged"):
            errors[store.path(spec).name] = store.status(spec).get("error", "")
    return {"states": dict(Counter(states.values())), "at_step": steps, "errors": errors}


def results(
    study: StudyArg, scale: ScaleOpt = "nano", store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None,
    metric: Annotated[str | None, typer.Option(help="default: the study's own")] = None,
    runs: Annotated[bool, typer.Option("--runs", help="one row per run instead of the comparison")] = False,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """The study's table beside the published numbers, and the verdicts on its claims."""
    from vitstudy.results.report import REPORTS
    from vitstudy.results.table import collect, metric_columns

    chosen = study_of(study, scale)
    table = collect(Store(store), specs_of(chosen, scale, seeds, set_), chosen.factors)
    if runs:
        print(table.to_json(orient="records", indent=1) if as_json else table.to_string(index=False))
        return
    if not (table["state"] == "done").any():
        fail(f"no finished run of {study} at {scale} in {store}; first: vitstudy run {study} --scale {scale}", FAILED)
    name = metric or chosen.metric(scale)
    if name not in metric_columns(table):
        fail(f"--metric '{name}' is not allowed; allowed: {', '.join(metric_columns(table))}")
    report = REPORTS[study](table, name, scale)
    if not as_json:
        show(report)
        return
    print_json({
        "title": report.main.title, "rows": report.main.records(),
        "tables": {section.key: section.records() for section in report.sections[1:]},
        "verdicts": [vars(v) for v in report.verdicts], "notes": report.notes,
    })  # fmt: skip


def show(report: Any) -> None:
    """Print a `vitstudy.results.section.Report`."""
    wide = Console(file=console.file, highlight=False, width=max(console.width, _WIDEST))  # never cut a number short
    for section in report.sections:
        console.print(f"[bold]{escape(section.title)}[/bold]")
        table = Table(box=None, pad_edge=False)
        for i, header in enumerate(section.headers):
            table.add_column(header, justify="left" if i == 0 else "right", no_wrap=True)
        for row in section.rows:
            table.add_row(*row)
        wide.print(table, "")
    for note in report.notes:
        console.print(f"  {note}")
    for verdict in report.verdicts:
        console.print(f"{verdict.claim}: [bold]{verdict.word}[/bold]. {verdict.reason}")


def figures(
    study: Annotated[str | None, typer.Argument(help="default: all studies")] = None, scale: ScaleOpt = "nano",
    store: StoreOpt = RUNS, seeds: SeedsOpt = None, set_: SetOpt = None, to: ToOpt = ANALYSIS,
    strict: Annotated[bool, typer.Option("--strict", help="exit non-zero when a run is missing")] = False,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Redraw the figures and the tables behind them, offline, from the store."""
    runs, written, gaps = Store(store), [], {}
    for name in [study] if study else STUDIES:
        chosen = study_of(name, scale)
        specs = specs_of(chosen, scale, seeds, set_)
        missing = sum(not runs.is_done(spec) for spec in specs)
        if missing == len(specs):
            if study is None:
                continue
            fail(f"no finished run of {name} at {scale} in {store}; first: vitstudy run {name} --scale {scale}", FAILED)
        written += write(runs, chosen, scale, specs, to)
        if missing:
            gaps[name] = f"{missing} of {len(specs)} runs are not done"
    if not written:
        fail(f"no finished run at scale {scale} in {store}; first: vitstudy run STUDY --scale {scale}", FAILED)
    if as_json:
        print_json({"files": written, "missing": gaps})
    else:
        for path in written:
            console.print(str(path))
    for name, gap in gaps.items():
        print(f"vitstudy: {name}: {gap}", file=sys.stderr)
    if gaps and strict:
        raise typer.Exit(FAILED)


def write(store: Store, study: Study, scale: str, specs: Sequence[Spec], to: Path) -> list[Path]:
    """The study's tables and figures; the files written."""
    from analysis.drawing import Results
    from analysis.registry import draw
    from analysis.report import write_tables
    from vitstudy.results.provenance import environments
    from vitstudy.results.report import REPORTS
    from vitstudy.results.table import collect, load_probe

    table = collect(store, specs, study.factors)
    names: set[str] = {name for spec in specs for name in value_at(spec, "eval.probes") or ()}
    probes = {name: load_probe(store, specs, name) for name in sorted(names)}
    report = REPORTS[study.name](table, study.metric(scale), scale)
    paths = write_tables(study.name, report, table, environments(store, specs), to / "tables" / scale)
    drawn = Results(table, study.metric(scale), scale, probes)
    return paths + [path for name in study.figures for path in draw(name, drawn, to / "figures" / scale)]


def publish(store: Store, study: Study, scale: str, specs: Sequence[Spec], to: Path) -> None:
    """Print the report; write tables and figures and print where they are."""
    from vitstudy.results.report import REPORTS
    from vitstudy.results.table import collect

    show(REPORTS[study.name](collect(store, specs, study.factors), study.metric(scale), scale))
    paths = write(store, study, scale, specs, to)
    for path in paths:
        if path.suffix in (".png", ".md"):
            console.print(f"  {path}")
