"""The form of a study's answer: tables for reading and as numbers, verdicts, notes. What fills it is in `report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vitstudy.results.stats import count_states
from vitstudy.results.verdicts import Verdict


@dataclass(frozen=True)
class Section:
    """One table. `headers` and `rows` are for reading, `frame` has the same as numbers (fractions, counts, FLOPs)."""

    key: str
    """Names the table in file names and JSON; unique in its report."""
    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    frame: pd.DataFrame

    def records(self) -> list[dict[str, Any]]:
        """The numbers, row by row; None where there is none."""
        plain = self.frame.astype(object).where(self.frame.notna(), None)
        return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


@dataclass(frozen=True)
class Report:
    """One study's answer. The first section is the study's own table; others add to it."""

    sections: tuple[Section, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    @property
    def main(self) -> Section:
        """The first section."""
        return self.sections[0]


def state_notes(table: pd.DataFrame) -> list[str]:
    """What a reader must know of the runs behind a table: those that are not done, and mixed precision."""
    counts, notes = count_states(table), []
    if counts["done"] < counts["planned"]:
        missing = ", ".join(f"{counts[state]} {state}" for state in ("missing", "failed", "diverged") if counts[state])
        notes.append(f"{counts['done']} of {counts['planned']} runs are done ({missing})")
    precisions: Sequence[str] = sorted(table.loc[table["state"] == "done", "precision"].dropna().unique())
    if len(precisions) > 1:
        notes.append(f"runs of different precision are mixed: {', '.join(precisions)}")
    return notes
