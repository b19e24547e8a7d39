"""The report of the study `shape` (Figure 8): what depth, width, MLP width, patch size and all together buy."""

from __future__ import annotations

import pandas as pd

from vitstudy.results.compare import format_interval, signed_interval
from vitstudy.results.paper_scaling import figure8
from vitstudy.results.section import Report, Section, state_notes
from vitstudy.results.shape_claims import verdict_c33
from vitstudy.results.shape_lines import NAMES, lines
from vitstudy.results.table import check_seeds


def shape(table: pd.DataFrame, metric: str, scale: str) -> Report:
    """Figure 8. Raises ValueError for a metric that no run has, or seeds that are not independent."""
    check_seeds(table)
    frame = lines(table, metric)
    rows = [
        (
            NAMES.get(row["axis"], row["axis"]),
            f"{row['num_layers']} x {row['hidden_dim']}, {row['mlp_dim']}, /{row['patch_size']}",
            format_interval(row["mean"], row["half"], row["n"]),
            str(row["n"]),
            "base" if row["axis"] == "base" else signed_interval(row["gain"], row["gain_half"]),
            _times(row["compute"]),
            _times(row["params"]),
        )
        for row in frame.to_dict("records")
    ]
    headers = ("line", "layers x width, MLP, /patch", "ours %", "n", "to base", "compute", "params")
    sources = ", ".join(sorted(table["source"].astype(str).unique()))
    ours = Section("figure8", f"Figure 8 at scale {scale}, {metric}, trained on {sources}", headers, tuple(rows), frame)
    notes = (
        "ours: mean ± 95 % t interval over n seeds; to base: minus the base, paired by seed",
        "compute: forward FLOPs of an image over the base's; params likewise",
        f"every model is trained for {table['steps'].max():,} steps of {table['batch_size'].max()} images",
        *state_notes(table),
    )
    return Report((ours, _paper()), (verdict_c33(table, metric, scale),), notes)


def _paper() -> Section:
    frame = figure8()
    base = float(frame.loc[frame["compute"] == 1, "accuracy"].iloc[0])
    frame["gain"] = frame["accuracy"] - base
    rows = tuple(
        (
            NAMES[row["axis"]],
            f"{row['compute']:.2f}",
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['gain']:+.1f}",
        )
        for row in frame.to_dict("records")
    )
    title = "The paper's Figure 8, left: 5-shot ImageNet, read from the drawing; base: 8 x 1024, 2048, /32"
    return Section("paper", title, ("line", "compute", "paper %", "to base"), rows, frame)


def _times(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"
