"""A study's report as files: numbers (CSV), the table for reading with its verdicts (Markdown), runs, environments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vitstudy.results.section import Report, Section


def write_tables(
    study: str, report: Report, table: pd.DataFrame, environments: Sequence[dict[str, Any]], directory: Path
) -> list[Path]:
    """Into `directory`: <study>.csv, <study>_<key>.csv for every further section, <study>.md, _runs.csv, _env.json; the files."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [
        directory / f"{study}{'' if section is report.main else f'_{section.key}'}.csv" for section in report.sections
    ]
    for path, section in zip(paths, report.sections, strict=True):
        section.frame.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    text, runs, env = (directory / f"{study}{ending}" for ending in (".md", "_runs.csv", "_env.json"))
    text.write_text(markdown(report))
    table.to_csv(runs, index=False, float_format="%.8g", lineterminator="\n")
    env.write_text(json.dumps(list(environments), indent=1) + "\n")
    return [*paths, text, runs, env]


def markdown(report: Report) -> str:
    """Title and table of every section, notes, verdicts."""
    lines = [line for section in report.sections for line in _table(section)]
    lines += [*(f"* {note}" for note in report.notes), ""]
    lines += ["\n\n".join(f"**{verdict.claim}: {verdict.word}.** {verdict.reason}" for verdict in report.verdicts)]
    return "\n".join(lines) + "\n"


def _table(section: Section) -> list[str]:
    rule = _line(["---", *["--:"] * (len(section.headers) - 1)])
    return [section.title, "", _line(section.headers), rule, *(_line(row) for row in section.rows), ""]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
