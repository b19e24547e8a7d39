"""Figure 8: what each dimension of a ViT buys. One base, one dimension changed at a time, then all together.

`lines` turns the result table into accuracy against compute relative to the base; the verdict on C33 is in `shape_claims`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vitstudy.results.stats import by_seed, t_interval

DIMENSIONS: dict[str, str] = {"depth": "num_layers", "width": "hidden_dim", "mlp": "mlp_dim", "patch": "patch_size"}
"""Line of Figure 8 -> the column that it changes."""

COLUMNS: tuple[str, ...] = tuple(DIMENSIONS.values())
AXES: tuple[str, ...] = (*DIMENSIONS, "all")
NAMES = {"depth": "depth", "width": "width", "mlp": "MLP width", "patch": "patch size", "all": "all"}


def base_shape(table: pd.DataFrame) -> tuple[int, ...] | None:
    """The shape that all lines cross: the one from which the others differ in the fewest dimensions; None without rows."""
    shapes = _shapes(table)
    if not shapes:
        return None
    return min(shapes, key=lambda shape: sum(sum(np.not_equal(shape, other)) for other in shapes))


def axis_of(shape: Sequence[int], base: Sequence[int]) -> str:
    """base, depth, width, mlp, patch, or all: the line that a shape is on."""
    changed = [axis for axis, mine, its in zip(DIMENSIONS, shape, base, strict=True) if mine != its]
    return "base" if not changed else changed[0] if len(changed) == 1 else "all"


def lines(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per shape, line by line and by compute; the base comes first.

    axis, num_layers, hidden_dim, mlp_dim, patch_size
    mean, half, n         accuracy (fraction), 95 % t interval over seeds
    gain, gain_half, gain_n   minus the base, paired over seeds
    compute               forward FLOPs over the base's; NaN before a run of it has finished
    params                over the base's
    """
    base = base_shape(table)
    if base is None:
        return pd.DataFrame(
            columns=["axis", *COLUMNS, "mean", "half", "n", "gain", "gain_half", "gain_n", "compute", "params"]
        )
    reference = by_seed(table, metric, COLUMNS, base)
    rows = []
    for shape in _shapes(table):
        values = by_seed(table, metric, COLUMNS, shape)
        gain = t_interval((values - reference).dropna())
        row = {"axis": axis_of(shape, base), **dict(zip(COLUMNS, shape, strict=True)), **t_interval(values)._asdict()}
        row |= {"gain": gain.mean, "gain_half": gain.half, "gain_n": gain.n}
        for name, column in (("compute", "cost/forward_flops"), ("params", "cost/params")):
            row[name] = _cost(table, shape, column) / _cost(table, base, column)
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame["rank"] = [("base", *AXES).index(axis) for axis in frame["axis"]]
    # a patch size costs more the smaller it is: before the runs have told, the order of the grid stands
    return frame.sort_values(["rank", "compute"], kind="stable", ignore_index=True).drop(columns="rank")


def line(frame: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The finished points of one line, the base among them, by compute."""
    rows = frame[frame["axis"].isin((axis, "base")) & (frame["n"] > 0) & frame["compute"].notna()]
    return rows.sort_values("compute", kind="stable", ignore_index=True)


def _shapes(table: pd.DataFrame) -> list[tuple[int, ...]]:
    rows = table[list(COLUMNS)].dropna().drop_duplicates()
    return [tuple(int(value) for value in row) for row in rows.itertuples(index=False, name=None)]


def _cost(table: pd.DataFrame, shape: tuple[int, ...], column: str) -> float:
    if column not in table:
        return float("nan")
    chosen = np.logical_and.reduce([table[name] == value for name, value in zip(COLUMNS, shape, strict=True)])
    return float(table.loc[chosen, column].mean())
