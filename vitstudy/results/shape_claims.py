"""Verdict on the shape study (Figure 8): C33, five statements, one rule each."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from vitstudy.results.shape_lines import AXES, COLUMNS, NAMES, base_shape, line, lines
from vitstudy.results.stats import LEVEL, by_seed, t_interval
from vitstudy.results.verdicts import Verdict, Word

STATEMENTS = 5
MUST_AGREE: tuple[str, ...] = ("source", "steps", "precision")
"""What finished runs must share to be compared."""

Values = dict[str, pd.DataFrame]
"""Line -> accuracy; rows: seeds, columns: log2 of the compute relative to the base, ascending, the base at 0."""


def verdict_c33(table: pd.DataFrame, metric: str, scale: str) -> Verdict:
    """C33: depth gains most, with diminishing returns; width least; smaller patches gain steadily; all is robust.

    Over seeds that finished on every line, differences paired per seed. r is the largest compute that all four single
    lines reach; a line's gain at r over the base is read between its points, linear in log(compute):

    depth most       its gain at r is above that of width, MLP width and patch size
    width least      its gain at r is below that of depth, MLP width and patch size
    diminishing      depth gains less per doubling of compute above the middle (the base, if shallower ones ran) than below
    steady patches   every step to the next smaller patch gains
    robust           every step of scaling all together gains

    Each part: reproduced when all of its 95 % t intervals exclude 0 in its favour (all are needed: no correction);
    contradicted when one excludes 0 against it at level 1 - 0.05/(5 x number of its intervals), as any of all would do.

    reproduced      all five parts are
    contradicted    any part is
    not separable   otherwise, or one seed
    not comparable  no base, a line without a finished point, a line with fewer points than its part needs, or data,
                    steps or precision are mixed
    """
    context = f"{metric}, {scale} scale, {'/'.join(sorted(table['source'].astype(str).unique()))}"
    values, problem = _values(table, metric)
    if problem:
        return Verdict("C33", "not comparable", f"{problem}; {context}.")
    n = len(next(iter(values.values())))
    top = min(float(values[axis].columns[-1]) for axis in ("depth", "width", "mlp", "patch"))
    gains = ", ".join(f"{NAMES[axis]} {100 * float(_gain(values[axis], top).mean()):+.1f}" for axis in AXES[:4])
    numbers = f"gain over the base at {2**top:.2g} x its compute: {gains} points"
    context += f", n = {n} seed{'s' * (n > 1)}"
    if n < 2:
        return Verdict("C33", "not separable", f"one seed gives no interval; {numbers}; {context}.")
    words = {name: _judge(part(values, top)) for name, part in PARTS.items()}
    listed = "; ".join(
        f"{word}: {', '.join(name for name, its in words.items() if its == word)}"
        for word in dict.fromkeys(words.values())
    )
    return Verdict("C33", _overall(list(words.values())), f"{listed}; {numbers}; {context}.")


def _overall(words: list[Word]) -> Word:
    if "contradicted" in words:
        return "contradicted"
    return "reproduced" if set(words) == {"reproduced"} else "not separable"


def _values(table: pd.DataFrame, metric: str) -> tuple[Values, str]:
    """The accuracies of each line over common seeds, or why they cannot be compared."""
    done, base = table[table["state"] == "done"], base_shape(table)
    for name in MUST_AGREE:
        found = sorted(str(value) for value in done[name].unique()) if name in done else []
        if len(found) > 1:
            return {}, f"mixed {name}: {', '.join(found)}"
    frame = lines(table, metric)
    if base is None or not (frame.loc[frame["axis"] == "base", "n"] > 0).any():
        return {}, "no finished run of the base"
    values: Values = {}
    for axis in AXES:
        points = line(frame, axis)
        if not (points["axis"] == axis).any():
            return {}, f"no finished run that scales {NAMES[axis]}"
        columns = {
            float(np.log2(row["compute"])): by_seed(table, metric, COLUMNS, [row[name] for name in COLUMNS])
            for row in points.to_dict("records")
        }
        values[axis] = pd.DataFrame(columns)
    flat = [NAMES[axis] for axis in AXES[:4] if float(values[axis].columns[-1]) <= 0]
    if flat:
        return {}, f"nothing larger than the base finished along {', '.join(flat)}"
    if len(values["depth"].columns) < 3:
        return {}, "fewer than three depths finished"
    seeds = set.intersection(*(set(each.dropna().index) for each in values.values()))
    if not seeds:
        return {}, "no seed finished on every line"
    return {axis: each.loc[sorted(seeds)] for axis, each in values.items()}, ""


def _gain(values: pd.DataFrame, at: float) -> pd.Series:
    """Accuracy at log2(compute) `at` minus the base's, per seed, linear between points."""
    x = values.columns.to_numpy(dtype=float)
    return values.apply(lambda row: float(np.interp(at, x, row) - np.interp(0.0, x, row)), axis=1)


def _depth_most(values: Values, top: float) -> list[pd.Series]:
    depth = _gain(values["depth"], top)
    return [depth - _gain(values[other], top) for other in ("width", "mlp", "patch")]


def _width_least(values: Values, top: float) -> list[pd.Series]:
    width = _gain(values["width"], top)
    return [_gain(values[other], top) - width for other in ("depth", "mlp", "patch")]


def _diminishing(values: Values, top: float) -> list[pd.Series]:
    depth = values["depth"]
    x = depth.columns.to_numpy(dtype=float)
    middle = int(np.searchsorted(x, 0.0)) if x[0] < 0 else len(x) // 2
    below, above = (
        (depth.iloc[:, end] - depth.iloc[:, start]) / (x[end] - x[start]) for start, end in ((0, middle), (middle, -1))
    )
    return [below - above]


def _steps(axis: str) -> Callable[[Values, float], list[pd.Series]]:
    def steps(values: Values, top: float) -> list[pd.Series]:
        line = values[axis]
        return [line.iloc[:, i + 1] - line.iloc[:, i] for i in range(len(line.columns) - 1)]

    return steps


PARTS: dict[str, Callable[[Values, float], list[pd.Series]]] = {
    "depth most": _depth_most,
    "width least": _width_least,
    "diminishing returns of depth": _diminishing,
    "steady gains of smaller patches": _steps("patch"),
    "all together robust": _steps("all"),
}


def _judge(differences: list[pd.Series]) -> Word:
    """The rule of one part: each difference is above 0 if the part holds."""
    strict = 1 - (1 - LEVEL) / (STATEMENTS * len(differences))
    if any(t_interval(each, strict).high < 0 for each in differences):
        return "contradicted"
    found = [t_interval(each) for each in differences]
    return "reproduced" if all(not math.isnan(each.half) and each.low > 0 for each in found) else "not separable"
