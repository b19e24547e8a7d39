"""Does a study reproduce a claim of the paper? One function per claim, one rule each, stated in its docstring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from vitstudy.results.paper import table8
from vitstudy.results.stats import LEVEL, by_seed, count_states, t_interval

Word = Literal["reproduced", "contradicted", "not separable", "not comparable"]
NONE: tuple[str, str] = ("none", "stem")
MUST_AGREE: tuple[str, ...] = ("source", "model", "precision")
"""What finished runs must share to be compared."""


@dataclass(frozen=True)
class Verdict:
    """The claim's number, one of four words, and a sentence with the numbers behind it."""

    claim: str
    word: Word
    reason: str


def verdict_c34(table: pd.DataFrame, metric: str, scale: str, data: str) -> Verdict:
    """C34 (Table 8): no position embedding is clearly worse than any of the seven, which differ little.

    Over the n seeds that finished in all 8 cells, with differences paired per seed:

    not comparable  a cell has no finished run, no seed has all cells, or data set, model or precision are mixed
    not separable   n = 1 (no interval), or none of the rules below holds
    reproduced      each of the seven is above none, every 95 % t interval excluding 0, and the spread of the seven
                    means (largest minus smallest) is below the gap (mean of the seven minus none). No correction:
                    the claim needs all seven at once, so its error is at most that of one (intersection-union)
    contradicted    the gap's 95 % interval is wholly <= 0; or one of the seven is below none (level 1 - 0.05/7); or
                    the spread exceeds the gap (level 1 - 0.05/21: the largest of 21 pairs). Bonferroni, as any will do
    """
    context = f"{metric}, {scale} scale, {data}"
    cells = list(table8()[["posemb", "posemb_at"]].itertuples(index=False, name=None))
    values = pd.DataFrame({cell: by_seed(table, metric, ("posemb", "posemb_at"), cell) for cell in cells})
    problem = _not_comparable(table, values)
    if problem:
        return Verdict("C34", "not comparable", f"{problem}; {context}.")
    complete = values.dropna()
    n, planned = len(complete), table["seed"].nunique()
    context = f"{context}, n = {n} seed{'s' * (n > 1)}" + (f" complete of {planned}" if n < planned else "")
    word, numbers = _judge(complete)
    return Verdict("C34", word, f"{numbers}; {_published()}; {context}{_unfinished(table)}.")


def _not_comparable(table: pd.DataFrame, values: pd.DataFrame) -> str:
    """Why the runs cannot answer the claim; empty when they can. `values`: a row per seed, a column per cell."""
    done = table[table["state"] == "done"]
    empty = [" ".join(cell) for cell in values.columns if values[cell].notna().sum() == 0]
    if empty:
        return f"no finished run of {', '.join(empty)}"
    for name in MUST_AGREE:
        found = sorted(str(value) for value in done[name].unique()) if name in done else []
        if len(found) > 1:
            return f"mixed {name}: {', '.join(found)}"
    return "" if len(values.dropna()) else "no seed finished in all 8 cells"


def _judge(values: pd.DataFrame) -> tuple[Word, str]:
    """The rule of `verdict_c34` on complete seeds, and its numbers in points (percent)."""
    none = values[NONE]
    others = values.drop(columns=[NONE])
    means = others.mean()
    best, worst = means.idxmax(), means.idxmin()
    spread = means.max() - means.min()
    gaps = others.mean(axis=1) - none
    gap = t_interval(gaps)
    if gap.n < 2:
        return (
            "not separable",
            f"one seed gives no interval (gap to none {_points(gap.mean)}, spread {_points(spread)})",
        )
    pairs = [others[cell] - none for cell in others]
    above = sum(t_interval(pair).low > 0 for pair in pairs)
    below = sum(t_interval(pair, 1 - (1 - LEVEL) / 7).high < 0 for pair in pairs)
    excess = t_interval(others[best] - others[worst] - gaps, 1 - (1 - LEVEL) / 21)
    numbers = (
        f"none is below {above} of 7 cells (paired 95 % t intervals, uncorrected since all are needed); "
        f"gap to none {100 * gap.mean:.1f} ± {_points(gap.half)}, largest difference among the seven {_points(spread)}"
    )
    if gap.high <= 0 or below or excess.low > 0:
        why = f"{below} of 7 below none; " if below else ""
        return "contradicted", why + numbers
    return ("reproduced" if above == 7 and spread < gap.mean else "not separable"), numbers


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _published() -> str:
    """The gap and the spread of Table 8 itself, in points."""
    paper = table8()
    others = paper.loc[paper["posemb"] != "none", "paper"]
    none = paper.loc[paper["posemb"] == "none", "paper"].iloc[0]
    return f"paper: gap {_points(others.mean() - none)}, largest difference {_points(others.max() - others.min())}"


def _unfinished(table: pd.DataFrame) -> str:
    """``; 2 of 24 runs failed`` and the like; empty when all are done."""
    counts = count_states(table)
    words = [f"{counts[state]} {state}" for state in ("diverged", "failed", "missing") if counts[state]]
    return f" ({counts['done']} of {counts['planned']} runs: {', '.join(words)})" if words else ""
