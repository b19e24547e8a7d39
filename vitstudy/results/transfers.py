"""Accuracy after transfer against pre-training compute, from the result table: the points of Figure 5, rows of Table 6."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from vitstudy.results.frontier import Frontier, fit
from vitstudy.results.paper_scaling import TARGETS, table6
from vitstudy.results.stats import in_cell, metric_values, t_interval

CELL: tuple[str, ...] = ("family", "model", "upstream_steps")
ORDER: tuple[str, ...] = ("vit", "resnet", "hybrid")
"""Families, as the paper lists them."""

AVERAGE = "average"
"""The mean over the targets: defined for a seed that has all of them."""


@dataclass(frozen=True)
class Transfers:
    """`points`: one row per cell and seed, columns CELL, seed, one per target, average (fractions); `cells`: one row per
    cell, with params, flops and seconds of the pre-training (NaN where unknown). The first target is the main one.
    """

    points: pd.DataFrame
    cells: pd.DataFrame
    targets: tuple[str, ...]

    def accuracy(self, family: str, column: str = AVERAGE) -> pd.DataFrame:
        """Rows: seeds; columns: the family's cells (model, steps) that have a finished run; fractions."""
        rows = self.points[self.points["family"] == family]
        wide = rows.pivot(index="seed", columns=["model", "upstream_steps"], values=column)
        return wide.astype(float).dropna(axis=1, how="all").dropna(axis=0, how="all")

    def compute(self, family: str) -> pd.Series:
        """FLOPs of pre-training, by (model, steps)."""
        rows = self.cells[self.cells["family"] == family]
        return rows.set_index(["model", "upstream_steps"])["flops"]

    def frontier(self, family: str, column: str = AVERAGE) -> Frontier | None:
        """The family's fitted law; None when no seed has its cells or there are fewer than two budgets."""
        return fit(self.accuracy(family, column), self.compute(family))


def transfers(table: pd.DataFrame, metric: str) -> Transfers:
    """From the study's finetune rows. Raises ValueError for an unknown metric, or two runs of one cell, target and seed."""
    table = table.reset_index(drop=True)
    rows = table[table["stage"] == "finetune"].copy()
    rows["value"] = metric_values(table, metric)[rows.index]
    targets = tuple(dict.fromkeys(rows["source"]))
    key = [*CELL, "seed"]
    repeated = rows[rows.duplicated([*key, "source"], keep=False)]
    if len(repeated):
        raise ValueError(f"several runs of one cell, target and seed: {', '.join(repeated['run'].astype(str))}")
    points = rows.pivot(index=key, columns="source", values="value").reindex(columns=list(targets)).reset_index()
    points[AVERAGE] = points[list(targets)].mean(axis=1, skipna=False)
    return Transfers(points.rename_axis(columns=None), _cells(rows), targets)


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: families in the paper's order, models by parameters, then duration."""
    found = []
    for cell in rows[list(CELL)].drop_duplicates().itertuples(index=False, name=None):
        of_cell = rows[in_cell(rows, CELL, cell)]
        costs = {
            "params": _mean(of_cell, "cost/params"),
            "flops": _mean(of_cell, "cost/pretrain_flops"),
            "seconds": _mean(of_cell, "cost/pretrain_seconds"),
        }
        found.append({**dict(zip(CELL, cell, strict=True)), **costs})
    cells = pd.DataFrame(found, columns=[*CELL, "params", "flops", "seconds"])
    cells["rank"] = [ORDER.index(name) if name in ORDER else len(ORDER) for name in cells["family"]]
    # until every model of a family has finished a run, the order of the grid stands in for the unknown sizes
    size = cells.groupby("model", sort=False)["params"].transform("mean")
    known = size.notna().groupby(cells["family"]).transform("all")
    cells["size"] = size.where(known, cells.groupby("model", sort=False).ngroup())
    return cells.sort_values(["rank", "size", "upstream_steps"], kind="stable", ignore_index=True).drop(
        columns=["rank", "size"]
    )


def _mean(rows: pd.DataFrame, column: str) -> float:
    return float(rows[column].mean()) if column in rows else float("nan")


def table6_comparison(given: Transfers) -> pd.DataFrame:
    """Our Table 6, a row per cell: CELL, <target>, <target>_half, <target>_n, the same for average, exaflops, device_hours,
    pareto (no other cell of the family has a higher mean average at no more compute).
    """
    rows = []
    for cell in given.cells.to_dict("records"):
        points = given.points[in_cell(given.points, CELL, [cell[name] for name in CELL])]
        row = {name: cell[name] for name in CELL}
        for column in (*given.targets, AVERAGE):
            mean, half, n = t_interval(points[column])
            row |= {column: mean, f"{column}_half": half, f"{column}_n": n}
        rows.append(row | {"exaflops": cell["flops"] / 1e18, "device_hours": cell["seconds"] / 3600})
    frame = pd.DataFrame(rows)
    frame["pareto"] = _pareto(frame) if len(frame) else []
    return frame


def _pareto(frame: pd.DataFrame) -> list[bool]:
    best = []
    for _, row in frame.iterrows():
        others = frame[(frame["family"] == row["family"]) & (frame["exaflops"] <= row["exaflops"])]
        best.append(bool(pd.notna(row[AVERAGE]) and not (others[AVERAGE] > row[AVERAGE]).any()))
    return best


def published_frontiers(column: str = AVERAGE) -> dict[str, Frontier]:
    """The same law through Table 6's own points: one run each, so without intervals. `column`: average or a target."""
    paper, found = table6(), {}
    for family in ORDER:
        rows = paper[paper["family"] == family].reset_index(drop=True)
        law = fit(pd.DataFrame([rows[column].to_numpy()]), rows["flops"])
        if law is not None:
            found[family] = law
    return found


__all__ = ["AVERAGE", "CELL", "ORDER", "TARGETS", "Transfers", "published_frontiers", "table6_comparison", "transfers"]
