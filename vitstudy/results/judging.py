"""A claim as a list of differences that must all have a sign: the one rule that turns them into a verdict's word.

Each difference is paired over seeds. A claim that needs all of them is an intersection-union test, so its intervals
need no correction; one that any of them can break needs Bonferroni's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from vitstudy.results.compare import signed_interval
from vitstudy.results.stats import LEVEL, t_interval
from vitstudy.results.verdicts import Word


class Expected(NamedTuple):
    """The claim says: sign x (difference - bound) > 0. `difference`: fractions, one per seed; `label` says of what."""

    label: str
    difference: pd.Series
    sign: int
    bound: float = 0.0

    @property
    def excess(self) -> pd.Series:
        """Above 0 where the claim holds."""
        return self.sign * (self.difference.dropna() - self.bound)


def judge(expected: Sequence[Expected]) -> tuple[Word, str]:
    """The word and the numbers behind it (points, with 95 % t intervals).

    not comparable  there is nothing to judge by, or a difference has no seed that finished on both sides
    reproduced      the 95 % interval of every excess is above 0
    contradicted    that of any excess is below 0 at level 1 - 0.05/number of excesses
    not separable   otherwise; also when a difference has only one seed, and so no interval
    """
    if not expected:
        return "not comparable", "there is nothing to compare"
    empty = list(dict.fromkeys(each.label for each in expected if each.difference.dropna().empty))
    if empty:
        return "not comparable", f"no seed finished both sides of {'; '.join(empty)}"
    numbers = "; ".join(dict.fromkeys(_words(each) for each in expected))
    intervals = [t_interval(each.excess) for each in expected]
    if min(interval.n for interval in intervals) < 2:
        return "not separable", f"one seed gives no interval: {numbers}"
    if all(interval.low > 0 for interval in intervals):
        return "reproduced", numbers
    corrected = 1 - (1 - LEVEL) / len(expected)
    if any(t_interval(each.excess, corrected).high < 0 for each in expected):
        return "contradicted", numbers
    return "not separable", numbers


def seeds(expected: Sequence[Expected]) -> str:
    """``n = 3 seeds``, or the range over the differences."""
    counts = [int(each.difference.notna().sum()) for each in expected] or [0]
    low, high = min(counts), max(counts)
    return f"n = {high}{f' (at least {low})' if low < high else ''} seed{'s' * (high != 1)}"


def _words(each: Expected) -> str:
    interval = t_interval(each.difference)
    return f"{each.label} {signed_interval(interval.mean, interval.half)} points"
