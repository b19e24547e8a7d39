"""Accuracy against compute, one curve per family (Figure 5): error = exp(a) x C^-b, fitted to each seed by itself.

A power law of the error is the usual form for such curves. No floor is fitted: three to six budgets cannot tell one from a
smaller b. All points of a family count, not only its Pareto-best: picking the best of noisy points flatters most where
seeds are few. The intervals are over seeds; how well the law fits (`scatter`) is reported beside them, not inside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from vitstudy.results.stats import LEVEL, Interval, t_interval

SMALLEST_ERROR = 1e-4
"""An error below this counts as this: the logarithm of 0 does not exist. Half an image of a test set of 5,000."""


@dataclass(frozen=True)
class Frontier:
    """`fits`: one row per seed, columns a and b of ln(error) = a - b ln(C); `low`, `high`: ln of the budgets' range.

    `scatter`: root mean square distance of the cells' mean ln(error) from the mean law, 0.05 being about 5 % of the error.
    """

    fits: pd.DataFrame
    low: float
    high: float
    budgets: int
    scatter: float

    def log_error(self, log_compute: float) -> pd.Series:
        """ln(error) of each seed's law at one budget."""
        return self.fits["a"] - self.fits["b"] * log_compute

    def accuracy(self, log_compute: float) -> pd.Series:
        """1 - error of each seed's law, a fraction."""
        return 1 - np.exp(self.log_error(log_compute))

    def band(self, log_compute: np.ndarray) -> pd.DataFrame:
        """Columns mean and half: accuracy and its pointwise 95 % t interval over seeds (half NaN for one seed)."""
        rows = [t_interval(self.accuracy(value)) for value in log_compute]
        return pd.DataFrame(rows, columns=list(Interval._fields))[["mean", "half"]]


class Ratio(NamedTuple):
    """How many times the compute of b the family a needs for b's accuracy; `low`, `high`: 95 % interval, NaN if none.

    `at_ends`: (accuracy, ratio) at the lowest and the highest accuracy that both families reach.
    """

    value: float
    low: float
    high: float
    n: int
    accuracy: float
    at_ends: tuple[tuple[float, float], tuple[float, float]]


def fit(accuracy: pd.DataFrame, compute: pd.Series) -> Frontier | None:
    """Fit the law by least squares in logarithms, seed by seed.

    accuracy  rows: seeds, columns: cells (model and duration), fractions; only seeds without a gap are used
    compute   FLOPs of each cell

    None without a complete seed or with fewer than two different budgets.
    """
    values = accuracy.to_numpy(dtype=float)
    complete = ~np.isnan(values).any(axis=1)
    x = np.log(compute[accuracy.columns].to_numpy(dtype=float))
    if not complete.any() or np.isnan(x).any() or len(np.unique(x)) < 2:
        return None
    y = np.log(np.maximum(1 - values[complete], SMALLEST_ERROR))
    slope, intercept = np.polyfit(x, y.T, 1)
    fits = pd.DataFrame({"a": intercept, "b": -slope}, index=accuracy.index[complete])
    rest = y.mean(axis=0) - (intercept.mean() + slope.mean() * x)
    return Frontier(fits, float(x.min()), float(x.max()), len(np.unique(x)), float(np.sqrt(np.mean(rest**2))))


def compute_ratio(a: Frontier, b: Frontier, level: float = LEVEL) -> Ratio | None:
    """Compute of family a over that of b at equal accuracy, with Fieller's interval over the seeds that both have.

    At the middle of the accuracies that both laws reach within their own budgets, a needs exp(L); b reaches the same with
    exp(L - r). Whether b at exp(L - r) equals a at exp(L) is, for any given r, a question about the mean over seeds of
    d + b r, a number per seed: the interval of ln(ratio) holds the r that its t interval does not reject (Fieller 1954).
    So its coverage does not depend on how well b, the divisor, is known; when b may be 0 it is unbounded: low, high NaN.

    None when a mean law does not fall with compute, or the laws reach no common accuracy.
    """
    seeds = a.fits.index.intersection(b.fits.index)
    if seeds.empty:
        return None
    (seeds_a, seeds_b) = (each.fits.loc[seeds, ["a", "b"]].to_numpy().T for each in (a, b))
    (level_a, slope_a), (level_b, slope_b) = (each.mean(axis=1) for each in (seeds_a, seeds_b))
    if slope_a <= 0 or slope_b <= 0:
        return None
    best = max(level_a - slope_a * a.high, level_b - slope_b * b.high)
    worst = min(level_a - slope_a * a.low, level_b - slope_b * b.low)
    if worst <= best:
        return None

    def log_ratio(log_error: float) -> float:
        return float((level_a - log_error) / slope_a - (level_b - log_error) / slope_b)

    middle = (best + worst) / 2
    at = (level_a - middle) / slope_a
    distance = (seeds_b[0] - seeds_b[1] * at) - (seeds_a[0] - seeds_a[1] * at)
    low, high = _fieller(distance, seeds_b[1], level)
    ends = tuple((float(1 - np.exp(end)), float(np.exp(log_ratio(end)))) for end in (worst, best))
    value = float(np.exp(log_ratio(middle)))
    return Ratio(
        value, float(np.exp(low)), float(np.exp(high)), len(seeds), float(1 - np.exp(middle)), (ends[0], ends[1])
    )


def _fieller(distance: np.ndarray, slope: np.ndarray, level: float) -> tuple[float, float]:
    """All r for which the t interval of mean(distance + slope x r) holds 0; (NaN, NaN) when they have no two ends."""
    n = len(distance)
    if n < 2:
        return float("nan"), float("nan")
    k = stdtrit(n - 1, (1 + level) / 2) ** 2 / n
    (dd, ds), (_, ss) = np.cov(distance, slope, ddof=1)
    mean_d, mean_s = distance.mean(), slope.mean()
    square, linear, constant = mean_s**2 - k * ss, mean_d * mean_s - k * ds, mean_d**2 - k * dd
    if square <= 0:
        return float("nan"), float("nan")
    root = np.sqrt(max(linear**2 - square * constant, 0.0))
    return float((-linear - root) / square), float((-linear + root) / square)
