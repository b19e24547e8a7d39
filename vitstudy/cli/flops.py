"""The verb `flops`: parameters, compute and memory of a model, from closed formulas: nothing is built, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from experiments.families import FAMILIES
from vitstudy.cli.selection import ANALYSIS, JsonOpt, console, fail, print_json
from vitstudy.files import write_atomic
from vitstudy.study.cost import activation_bytes, parameters, split
from vitstudy.study.models import ModelSpec
from vitstudy.study.zoo import headless, named


def flops(
    model: Annotated[str | None, typer.Argument(help="as in the paper, e.g. ViT-B/16, R50x1, or of a small scale")] = None,
    image_size: Annotated[int | None, typer.Option(min=1, help="pixels; default: 224, or the small model's own")] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="of the head; default: 1000, or the small model's own")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="default: 3, or the small model's own")] = None,
    pretraining_head: Annotated[bool, typer.Option("--pretraining-head", help="with the hidden layer of D.3")] = False,
    paper: Annotated[bool, typer.Option("--paper", help="write our count beside Tables 1 and 6 instead")] = False,
    to: Annotated[Path, typer.Option("--to", help="with --paper: writes DIR/tables/compute_accounting.csv")] = ANALYSIS,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Parameters, FLOPs per image by part, and activation memory of a model. Nothing is built."""
    if paper == (model is not None):
        fail("flops: give a MODEL, or --paper")
    if model is None:
        _write_accounting(to)
        return
    changes = {"image_size": image_size, "num_classes": classes, "in_chans": channels}
    given = {field: value for field, value in changes.items() if value is not None}
    try:
        found = _model(model)
        spec = type(found).model_validate({**dict(found), **given})
    except ValidationError as error:
        fail(f"flops: {error.errors()[0]['msg'].removeprefix('Value error, ')}")
    except ValueError as error:
        fail(str(error))
    _show(spec if pretraining_head else headless(spec), as_json)


def _model(name: str) -> ModelSpec:
    """A model of the small scales by its name, else one of the paper. Raises ValueError for a name that is none."""
    for families in (FAMILIES["smoke"], FAMILIES["nano"], FAMILIES["mini"]):
        for model in families.named(name):
            return model
    return named(name)


def _show(model: ModelSpec, as_json: bool) -> None:
    parts = split(model)._asdict()
    forward = sum(parts.values())
    if as_json:
        print_json(
            {
                **model.model_dump(),
                "params": parameters(model),
                "forward_flops": forward,
                "train_flops": 3 * forward,
                "split": parts,
                "activation_bytes": activation_bytes(model),
            }
        )
        return
    console.print(f"{model.name} at {model.image_size} px, {model.in_chans} channels, {model.num_classes} classes")
    console.print(f"  parameters   {parameters(model):,}")
    console.print(
        f"  forward      {_readable(forward)} per image (1 multiply-add = 2 FLOPs; padding is counted, as executed)"
    )
    for part, value in parts.items():
        if value:
            console.print(f"    {part.replace('_', ' '):<17}{_readable(value):>16}  {value / forward:6.1%}")
    console.print(f"  training     {_readable(3 * forward)} per image (3 x forward)")
    console.print(f"  activations  about {activation_bytes(model) / 1e6:,.4g} MB per image in bf16, nothing recomputed")


def _readable(value: float) -> str:
    return f"{value / 1e9:,.4g} GFLOP" if value >= 1e8 else f"{value / 1e6:,.4g} MFLOP"


def _write_accounting(to: Path) -> None:
    from vitstudy.results.accounting import FILE, accounting, to_csv

    frame = accounting()
    file = to / "tables" / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    text = to_csv(frame)
    write_atomic(file, lambda handle: handle.write(text.encode()))
    console.print(frame.drop(columns=["item", "note"]).to_string(index=False, na_rep=""))
    console.print(f"written: {file}")
