"""A study's answer: its comparison with the published numbers as text and as numbers, and the verdicts on its claims."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from vitstudy.results.compare import DEFAULT, format_interval, signed_interval, table8_comparison
from vitstudy.results.compute import compute
from vitstudy.results.data_scale import data_scale
from vitstudy.results.resolution import resolution
from vitstudy.results.section import Report, Section, state_notes
from vitstudy.results.shape import shape
from vitstudy.results.table import check_seeds
from vitstudy.results.timing import timing
from vitstudy.results.verdicts import verdict_c34


def posemb(table: pd.DataFrame, metric: str, scale: str) -> Report:
    """Table 8. Raises ValueError for a metric that no run has, or seeds that are not independent."""
    check_seeds(table)
    frame = table8_comparison(table, metric)
    rows = []
    for row in frame.to_dict("records"):
        default = (row["posemb"], row["posemb_at"]) == DEFAULT
        paper = "" if default else f" ({100 * row['paper_difference']:+.1f})"
        rows.append(
            (
                row["posemb"] + (f" {row['posemb_at']}" if row["posemb"] in ("1d", "2d") else ""),
                format_interval(row["mean"], row["half"], row["n"]),
                str(row["n"]),
                "default" if default else signed_interval(row["difference"], row["difference_half"]),
                f"{100 * row['paper']:.1f}{paper}",
                _count(row["params_difference"]),
                _count(row["forward_flops_difference"]),
            )
        )
    headers = ("position embedding", "ours %", "n", "to default", "paper %", "params", "FLOPs")
    title = f"Table 8 at scale {scale}, {metric}: {_describe(table)}"
    verdict = verdict_c34(table, metric, scale, "/".join(sorted(table["source"].unique())))
    return Report((Section("table8", title, headers, tuple(rows), frame),), (verdict,), _notes(table))


def _count(value: float) -> str:
    """``+12.5 k``: a difference of counts."""
    if pd.isna(value):
        return "–"
    if value == 0:
        return "0"
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= limit:
            return f"{value / limit:+.1f}{unit}"
    return f"{value:+.0f}"


def _describe(table: pd.DataFrame) -> str:
    models, sources = sorted(table["model"].unique()), sorted(table["source"].unique())
    return f"{', '.join(models)} on {', '.join(sources)}, {table['steps'].max():,} steps of {table['batch_size'].max()}"


def _notes(table: pd.DataFrame) -> tuple[str, ...]:
    notes = [
        "ours: mean ± 95 % t interval over n seeds; to default: cell minus '1d stem', paired by seed",
        "paper: ViT-B/16, JFT-300M, 5-shot ImageNet, one run each; (its difference to its default)",
        "params, FLOPs per image: difference to the default cell",
    ]
    return (*notes, *state_notes(table))


REPORTS: dict[str, Callable[[pd.DataFrame, str, str], Report]] = {
    "posemb": posemb,
    "data_scale": data_scale,
    "resolution": resolution,
    "compute": compute,
    "shape": shape,
    "timing": timing,
}
"""Study -> its report, from (table, metric, scale)."""
