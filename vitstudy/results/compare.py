"""Our numbers beside the published ones, as text and as tables. Verdicts on claims are in `verdicts`."""

from __future__ import annotations

import math

import pandas as pd

from vitstudy.results.paper import table8
from vitstudy.results.stats import by_seed, in_cell, paired_difference, t_interval
from vitstudy.results.verdicts import Verdict, verdict_c34

FACTORS: tuple[str, str] = ("posemb", "posemb_at")
DEFAULT: tuple[str, str] = ("1d", "stem")
"""The paper's default position embedding (section 3.1)."""

__all__ = ["DEFAULT", "FACTORS", "Verdict", "format_interval", "signed_interval", "table8_comparison", "verdict_c34"]


def format_interval(mean: float, half: float, n: int, percent: bool = True) -> str:
    """``71.3 ± 0.8`` (percent: fractions shown x 100); no ± for n < 2; an en dash when there is no value."""
    if n == 0 or math.isnan(mean):
        return "–"
    factor, digits = (100, 1) if percent else (1, 3)
    text = f"{mean * factor:.{digits}f}"
    return text if n < 2 or math.isnan(half) else f"{text} ± {half * factor:.{digits}f}"


def signed_interval(mean: float, half: float) -> str:
    """``+1.2 ± 0.4``: a difference of fractions in points; no ± without an interval, an en dash without a value."""
    if math.isnan(mean):
        return "–"
    return f"{100 * mean:+.1f}" + ("" if math.isnan(half) else f" ± {100 * half:.1f}")


def _cost(table: pd.DataFrame, cell: tuple[str, str], column: str) -> float:
    """The cost of one cell, NaN before a run of it has finished. All its runs have the same parameters and FLOPs."""
    if column not in table.columns:
        return float("nan")
    return t_interval(table.loc[in_cell(table, FACTORS, cell), column]).mean


def table8_comparison(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per cell of Table 8, in the paper's order, present in `table` or not.

    mean, half, n          our metric (fraction 0..1), 95 % t interval over seeds
    paper                  published 5-shot ImageNet accuracy of ViT-B/16 (fraction)
    difference*            ours, cell minus default (1d, stem), paired over seeds: mean, half, n
    paper_difference       published, cell minus default
    params, forward_flops  of the model (count; FLOPs of one image), and their differences to the default
    """
    published = table8()
    default = published.loc[in_cell(published, FACTORS, DEFAULT), "paper"].iloc[0]
    rows = []
    for posemb, place, paper in published.itertuples(index=False, name=None):
        cell = (posemb, place)
        ours = t_interval(by_seed(table, metric, FACTORS, cell))
        gap = paired_difference(table, metric, FACTORS, cell, DEFAULT)
        row = {"posemb": posemb, "posemb_at": place, **ours._asdict(), "paper": paper}
        row |= {"difference": gap.mean, "difference_half": gap.half, "difference_n": gap.n}
        row["paper_difference"] = paper - default
        for name in ("params", "forward_flops"):
            row[name] = _cost(table, cell, f"cost/{name}")
            row[f"{name}_difference"] = row[name] - _cost(table, DEFAULT, f"cost/{name}")
        rows.append(row)
    return pd.DataFrame(rows)
