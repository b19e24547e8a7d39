"""The command line: one short function per verb. Only `worker` and `doctor` load torch."""

from __future__ import annotations

import sys

import typer

from vitstudy.cli import catalog, data, flops, mirror, reporting, running, system
from vitstudy.cli.selection import FAILED
from vitstudy.errors import UserError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Re-run the studies of the ViT paper (arXiv 2010.11929) at the size your machine allows. "
    "Start with: vitstudy run posemb",
)  # fmt: skip
app.command("list")(catalog.list_studies)
app.command("plan")(catalog.plan_study)
app.command("flops")(flops.flops)
app.command("run")(running.run_study)
app.command("worker")(running.worker)
app.command("status")(reporting.status)
app.command("results")(reporting.results)
app.command("figures")(reporting.figures)
app.command("doctor")(system.doctor)
app.add_typer(data.DATA, name="data")
wandb = typer.Typer(no_args_is_help=True, help="Mirror finished runs to Weights & Biases.")
wandb.command("push")(mirror.push)
wandb.callback()(lambda: None)  # keeps `push` a word of its own
app.add_typer(wandb, name="wandb")


def main() -> None:
    """Entry point: a user's mistake is one line and an exit code, never a traceback."""
    try:
        app()
    except UserError as error:
        sys.exit(_say(str(error)))
    except OSError as error:
        sys.exit(_say(f"{error.filename or 'input/output'}: {error.strerror or error}"))


def _say(message: str) -> int:
    print(f"vitstudy: {message}", file=sys.stderr)
    return FAILED
