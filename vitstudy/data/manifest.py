"""`data check`: every file of a set decoded once; the manifest says which are good, and training reads only those.

A manifest is a CSV file under the data root, a row per file, sorted by part and path: it depends on the files alone, not on the
number of processes, the order of the directory or the clock.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitstudy.data.files import BadImage, Files, decode, planes
from vitstudy.data.images import DataError, pixel_hash
from vitstudy.data.listing import Entry, Listing, PartName
from vitstudy.files import write_atomic


class Row(NamedTuple):
    """One file. `pixels`: 16 hex digits of `pixel_hash`; `verdict`: good or bad; `note`: why, or what was converted."""

    part: str
    path: str
    label: int
    class_name: str
    sha256: str
    pixels: str
    width: int
    height: int
    verdict: str
    note: str


def examine(base: Path, classes: tuple[str, ...], entry: Entry) -> Row:
    """Decode one file. Never raises for what is wrong with it."""
    known = (entry.part, entry.path, entry.label, classes[entry.label])
    try:
        content = (base / entry.path).read_bytes()
    except OSError as error:
        return Row(*known, "", "", 0, 0, "bad", f"cannot be opened: {error.strerror}")
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        picture, notes = decode(content)
    except BadImage as error:
        return Row(*known, sha256, "", 0, 0, "bad", str(error))
    pixels = f"{pixel_hash(planes(picture)):016x}"
    return Row(*known, sha256, pixels, picture.width, picture.height, "good", "; ".join(notes))


def examine_all(listing: Listing, processes: int, progress: Callable[[int], None] = lambda done: None) -> list[Row]:
    """A row for every file, in the listing's order; `progress` is told how many are done."""
    look = partial(examine, listing.base, listing.classes)
    rows: list[Row] = []
    if processes <= 1 or len(listing.files) < 100:  # starting processes takes longer
        found = map(look, listing.files)
        for row in found:
            rows.append(row)
            progress(len(rows))
        return rows
    with ProcessPoolExecutor(processes) as pool:
        for row in pool.map(look, listing.files, chunksize=32):
            rows.append(row)
            progress(len(rows))
    return rows


def write(path: Path, rows: list[Row]) -> None:
    """The manifest, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: file.write(text.getvalue().encode()))


def read(path: Path) -> list[Row]:
    """The rows. Raises DataError for a file that is no manifest."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        if next(reader, None) != list(Row._fields):
            raise DataError(f"{path}: not a manifest of this version; run vitstudy data check again")
        try:
            return [
                Row(part, name, int(label), group, sha256, pixels, int(width), int(height), verdict, note)
                for part, name, label, group, sha256, pixels, width, height, verdict, note in reader
            ]
        except ValueError as error:
            raise DataError(f"{path}: damaged manifest ({error}); run vitstudy data check again") from error


def good_files(rows: list[Row], base: Path, part: PartName, size: int) -> Files:
    """The good files of one part, decoded to `size` when asked for. Raises DataError when the part or a class has none."""
    good = [row for row in rows if row.part == part and row.verdict == "good"]
    if not good:
        raise DataError(f"{base}: no good image in its {part} part, says the manifest")
    if part == "train":
        have = {row.label for row in good}
        for row in rows:
            if row.label not in have:
                raise DataError(
                    f"{base}: class '{row.class_name}' has no good image in its train part, says the manifest"
                )
    return Files(
        base,
        np.array([row.path for row in good], object),
        np.array([row.label for row in good], np.int64),
        np.array([row.sha256 for row in good], object),
        np.array([int(row.pixels, 16) for row in good], np.uint64),
        np.array([(row.height, row.width) for row in good], np.int32),
        size,
    )
