"""What all verbs share: options, the choice of study and scale, changes to its grid, and the way to say no."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer
from pydantic import ValidationError
from rich.console import Console

from experiments import STUDIES
from vitstudy.study.grid import apply_to_all, fields
from vitstudy.study.spec import RunSpec, Scale
from vitstudy.study.study import SCALES, Study, with_needs
from vitstudy.study.timing import Spec

USAGE, FAILED, DIVERGED, INTERRUPTED = 2, 70, 65, 75

StudyArg = Annotated[str, typer.Argument(help=f"one of: {', '.join(STUDIES)}")]
ScaleOpt = Annotated[str, typer.Option("--scale", help=f"one of: {', '.join(SCALES)}")]
StoreOpt = Annotated[Path, typer.Option("--store", envvar="VITSTUDY_STORE", help="directory of runs")]
ToOpt = Annotated[Path, typer.Option("--to", help="writes DIR/figures/SCALE and DIR/tables/SCALE")]
JsonOpt = Annotated[bool, typer.Option("--json", help="machine-readable output")]
SeedsOpt = Annotated[int | None, typer.Option("--seeds", min=1, help="number of seeds, instead of the scale's")]
SetOpt = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="change a field of every run (changes their ids)"),
]
FAMILY_TAGS = ("vit", "resnet", "hybrid")
"""What pydantic puts into the path of a model's field: which kind of model it is."""
RUNS, ANALYSIS = Path("runs"), Path("analysis")

console = Console(highlight=False, soft_wrap=True)


def fail(message: str, code: int = USAGE) -> NoReturn:
    """One line on stderr, then exit."""
    print(f"vitstudy: {message}", file=sys.stderr)
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """To stdout; values that JSON does not know become text."""
    print(json.dumps(value, indent=1, default=str))


def choose(name: str, value: str | None, allowed: Sequence[str]) -> None:
    """Exit with 2 unless `value` is allowed or not given."""
    if value is not None and value not in allowed:
        fail(f"{name} '{value}' is not allowed; allowed: {', '.join(allowed)}")


def study_of(name: str, scale: str) -> Study:
    """The study. Exits with 2 for an unknown study or scale."""
    choose("study", name, tuple(STUDIES))
    choose("--scale", scale, SCALES)
    return STUDIES[name]


def specs_of(
    study: Study, scale: str, seeds: int | None = None, changes: Sequence[str] | None = None
) -> tuple[Spec, ...]:
    """The grid and all that it needs, with --seeds and --set applied. Exits with 2 for a field or value that is not allowed."""
    return with_needs(grid_of(study, scale, seeds, changes))


def grid_of(
    study: Study, scale: str, seeds: int | None = None, changes: Sequence[str] | None = None
) -> tuple[Spec, ...]:
    """The runs that answer the question alone, without what they need; else as `specs_of`."""
    grid = study.build(cast("Scale", scale), seeds)
    try:
        wanted = dict(_change(study, change, fields(with_needs(grid)[0])) for change in changes or ())
        return tuple(apply_to_all(spec, wanted) for spec in grid) if wanted else grid
    except ValidationError as error:
        fail(_first(error))
    except ValueError as error:
        fail(str(error))


def _change(study: Study, change: str, allowed: Sequence[str]) -> tuple[str, Any]:
    field, sep, value = change.partition("=")
    if not sep:
        fail(f"--set {change}: write FIELD=VALUE; fields: {', '.join(allowed)}")
    if field == "seed" or field in study.factors.values():
        fail(f"--set {field}: the study '{study.name}' varies this field itself")
    return field, _parse(value)


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part not in FAMILY_TAGS)
    got = "" if isinstance(first["input"], dict) else f", got {first['input']!r}"
    return f"{field + ': ' if field else ''}{first['msg']}{got}"


def _parse(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def check_data(specs: Sequence[Spec]) -> None:
    """Exit with 2 for data sets that are unknown, not at hand or do not fit the model, before anything is written."""
    from vitstudy.data.sources import DataError, find, require

    sources = {}
    trained = [spec for spec in specs if isinstance(spec, RunSpec)]
    stored = {spec.data.source for spec in trained if spec.data.fractals is None}
    for name in sorted(stored.union(*(spec.eval.fewshot_sources for spec in trained))):
        try:
            sources[name] = find(name)
            require(sources[name])
        except DataError as error:
            fail(str(error))
    for data, model in dict.fromkeys((spec.data, spec.model) for spec in trained if spec.data.fractals is None):
        source, wanted = sources[data.source], (data.train_size or 1) + data.minival_size
        if model.num_classes != source.num_classes:
            fail(
                f"model.num_classes {model.num_classes} differs from the {source.num_classes} classes of '{data.source}'"
            )
        if data.channels is None and model.in_chans != source.channels:
            fail(
                f"model.in_chans {model.in_chans} differs from the {source.channels} channels of '{data.source}': "
                f"set data.channels={model.in_chans} to convert them"
            )
        if source.train_images and wanted > source.train_images:
            fail(
                f"data.train_size and data.minival_size need {wanted} images, '{data.source}' has {source.train_images}"
            )
