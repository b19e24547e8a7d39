"""A study's report as files: numbers (CSV), the table for reading with its verdicts (Markdown), runs, environments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vitstudy.results.report import Report


def write_tables(
    study: str, report: Report, table: pd.DataFrame, environments: Sequence[dict[str, Any]], directory: Path
) -> list[Path]:
    """<study>.csv, <study>.md, <study>_runs.csv and <study>_env.json in `directory`; the files written."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{study}{ending}" for ending in (".csv", ".md", "_runs.csv", "_env.json")]
    report.frame.to_csv(paths[0], index=False, float_format="%.6g", lineterminator="\n")
    paths[1].write_text(markdown(report))
    table.to_csv(paths[2], index=False, float_format="%.8g", lineterminator="\n")
    paths[3].write_text(json.dumps(list(environments), indent=1) + "\n")
    return paths


def markdown(report: Report) -> str:
    """Title, table, notes, verdicts."""
    lines = [report.title, "", _line(report.headers), _line(["---", *["--:"] * (len(report.headers) - 1)])]
    lines += [_line(row) for row in report.rows]
    lines += ["", *(f"* {note}" for note in report.notes), ""]
    lines += [f"**{verdict.claim}: {verdict.word}.** {verdict.reason}" for verdict in report.verdicts]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
