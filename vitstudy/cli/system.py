"""`doctor`: is everything here that a run needs, and how fast is this machine?"""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, version

from rich.table import Table

from vitstudy.cli.selection import FAILED, RUNS, JsonOpt, StoreOpt, console, fail, print_json
from vitstudy.errors import UserError
from vitstudy.runs import tracking
from vitstudy.runs.store import Store

LIBRARIES = ("torch", "timm", "pytorch-lightning", "numpy", "pandas", "matplotlib", "seaborn", "pydantic")


def doctor(store: StoreOpt = RUNS, as_json: JsonOpt = False) -> None:
    """Check what a run needs: libraries, data checksums, a writable store; measure the speed of this machine."""
    rows = [*_libraries(), *_data(), _store(store), _device(), *_speed(), _wandb()]
    problems = sum(not ok for _, ok, _ in rows)
    if as_json:
        print_json([{"check": name, "ok": ok, "found": found} for name, ok, found in rows])
    else:
        table = Table(box=None, show_header=False)
        for name, ok, found in rows:
            table.add_row("[green]ok[/green]" if ok else "[red]problem[/red]", name, found)
        console.print(table)
    if problems:
        fail(f"{problems} problem(s) found", FAILED)


Row = tuple[str, bool, str]


def _libraries() -> list[Row]:
    rows = []
    for name in LIBRARIES:
        try:
            rows.append((name, True, version(name)))
        except PackageNotFoundError:
            rows.append((name, False, "not installed; run: make setup"))
    return rows


def _data() -> list[Row]:
    from vitstudy.data.sources import SOURCES, load, state

    rows = []
    for name, source in SOURCES.items():
        if state(source) != "ready":
            continue
        try:
            train, test = load(name)
            rows.append((f"data {name}", True, f"{len(train):,} + {len(test):,} images, checksums right"))
        except UserError as error:
            rows.append((f"data {name}", False, str(error)))
    return rows


def _store(store: StoreOpt) -> Row:
    try:
        Store(store).check_writable()
    except UserError as error:
        return "store", False, str(error)
    return "store", True, f"{store}: writable, {shutil.disk_usage(store).free / 1e9:,.0f} GB free"


def _device() -> Row:
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: runs use the CPU"
    return "accelerator", True, f"{name}; {torch.get_num_threads()} CPU threads"


def _speed() -> list[Row]:
    import torch

    from vitstudy.runs.peak import DTYPES, matmul_peak

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return [(f"matmul {name}", True, f"{matmul_peak(device, name) / 1e9:,.3g} GFLOP/s on {device}") for name in DTYPES]


def _wandb() -> Row:
    if not tracking.available():
        return "wandb", True, "not installed (not needed)"
    mode, message = tracking.resolve_mode("online")
    return "wandb", True, f"{version('wandb')}; {message or f'{mode} possible'}"
