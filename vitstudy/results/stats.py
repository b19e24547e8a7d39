"""Seeds to intervals: Student's t over seeds, paired differences, one summary row per cell.

(`scipy.special.stdtrit` is the quantile function of t: `scipy.stats`, which has it too, takes a second to load.)

A t interval, never a bootstrap: at n = 3 a bootstrap that says 95 % covers about 75 %. One seed has no interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from vitstudy.results.table import metric_columns

LEVEL = 0.95


class Interval(NamedTuple):
    """mean ± half over n values, in the unit of the values; half is NaN for n < 2, mean too for n = 0."""

    mean: float
    half: float
    n: int

    @property
    def low(self) -> float:
        """Lower end; NaN without an interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end; NaN without an interval."""
        return self.mean + self.half


def t_interval(values: Iterable[float], level: float = LEVEL) -> Interval:
    """Two-sided t interval of the mean; missing values (NaN) are left out and not counted in n."""
    finite = np.asarray(list(values), dtype=float)
    finite = finite[~np.isnan(finite)]
    n = len(finite)
    if n == 0:
        return Interval(float("nan"), float("nan"), 0)
    if n == 1:
        return Interval(float(finite[0]), float("nan"), 1)
    half = stdtrit(n - 1, (1 + level) / 2) * finite.std(ddof=1) / np.sqrt(n)
    return Interval(float(finite.mean()), float(half), n)


def metric_values(table: pd.DataFrame, metric: str) -> pd.Series:
    """The metric of every row, NaN unless done. Raises ValueError for a metric that no finished run has."""
    done = table["state"] == "done"
    if metric not in table.columns:
        if done.any():
            raise ValueError(f"unknown metric '{metric}'; allowed: {', '.join(metric_columns(table))}")
        return pd.Series(np.nan, index=table.index, dtype=float)
    return table[metric].astype(float).where(done)


def in_cell(table: pd.DataFrame, factors: Sequence[str], cell: Sequence[Any]) -> pd.Series:
    """Boolean mask of the rows of one cell: `cell` has one value per factor."""
    mask = pd.Series(True, index=table.index)
    for name, value in zip(factors, cell, strict=True):
        mask &= table[name].isna() if value is None else table[name] == value
    return mask


def by_seed(table: pd.DataFrame, metric: str, factors: Sequence[str], cell: Sequence[Any]) -> pd.Series:
    """The finished values of one cell, indexed by seed. Raises ValueError if a seed occurs twice in the cell."""
    mask = in_cell(table, factors, cell)
    return _by_seed(metric_values(table, metric)[mask], table.loc[mask, "seed"], factors, cell)


def by_cell(table: pd.DataFrame, metric: str, factors: Sequence[str]) -> dict[tuple[Any, ...], pd.Series]:
    """`by_seed` of every cell of the table, in its order; a missing factor value is None in the key."""
    values, cells = metric_values(table, metric), {}
    for key, rows in table.groupby(list(factors), sort=False, dropna=False):
        cell = tuple(None if value != value else value for value in key)  # only NaN differs from itself
        cells[cell] = _by_seed(values[rows.index], rows["seed"], factors, cell)
    return cells


def _by_seed(values: pd.Series, seeds: pd.Series, factors: Sequence[str], cell: Sequence[Any]) -> pd.Series:
    series = pd.Series(values.to_numpy(), index=seeds.to_numpy(), dtype=float).dropna()
    repeated = sorted(set(series.index[series.index.duplicated()]))
    if repeated:
        raise ValueError(
            f"cell {tuple(cell)} has several runs with seed {repeated}: the factors {list(factors)} do not tell them apart"
        )
    return series


def paired_difference(
    table: pd.DataFrame,
    metric: str,
    factors: Sequence[str],
    a: Sequence[Any],
    b: Sequence[Any],
    level: float = LEVEL,
) -> Interval:
    """a minus b over the seeds that finished in both cells, with the t interval of the difference."""
    difference = by_seed(table, metric, factors, a) - by_seed(table, metric, factors, b)
    return t_interval(difference.dropna(), level)


def summarise(table: pd.DataFrame, metric: str, factors: Sequence[str]) -> pd.DataFrame:
    """One row per cell, in the order of the table: factors, mean, half, n, planned, done, missing, failed, diverged.

    `planned` counts the runs of the grid; `missing` those planned, running or interrupted: not finished, not failed.
    """
    values = metric_values(table, metric)
    names = list(factors)
    rows = []
    for cell in table[names].drop_duplicates().itertuples(index=False, name=None):
        mask = in_cell(table, names, [None if pd.isna(value) else value for value in cell])
        interval = t_interval(values[mask])
        rows.append({**dict(zip(names, cell, strict=True)), **interval._asdict(), **count_states(table[mask])})
    columns = [*names, "mean", "half", "n", "planned", "done", "missing", "failed", "diverged"]
    return pd.DataFrame(rows, columns=columns)


def count_states(table: pd.DataFrame) -> dict[str, int]:
    """Runs of the grid, and how many are done, missing (planned, running, interrupted), failed and diverged."""
    counts = {state: int((table["state"] == state).sum()) for state in ("done", "failed", "diverged")}
    missing = len(table) - sum(counts.values())
    return {
        "planned": len(table),
        "done": counts["done"],
        "missing": missing,
        "failed": counts["failed"],
        "diverged": counts["diverged"],
    }
