"""Figure 12: inference speed and the largest batch, per model and input size. Pairs of like size are those of like FLOPs.

The verdicts on C41, C42, C43 and C47 are in `timing_claims`. A row of the table is one repeat; repeats stand for seeds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from vitstudy.results.stats import by_seed, metric_values, t_interval

SPEED, BATCH = "timing/images_per_s", "timing/max_batch"
LIKE = 1.5
"""Models whose FLOPs at the middle size differ by at most this factor are of like size (the paper's B/32 and R50x1: 1.07)."""

SAME = 1.1
"""Input sizes within this factor are one size: with patches of 14 the paper's 64, 128, 384, 512 px are 70, 126, 378, 518."""


class Pair(NamedTuple):
    """A ViT and the ResNet of nearest FLOPs; `flops`: the ViT's, of one image of the middle size."""

    vit: str
    resnet: str
    flops: float


def speeds(table: pd.DataFrame) -> pd.DataFrame:
    """One row per model and input size: family, model, image_size, mean, half, n (images/s, 95 % t interval over repeats),
    best_batch, max_batch (NaN: not searched), memory_limit_bytes, forward_flops, params. Models by family and parameters.
    """
    rows = []
    cells = table[["family", "model", "image_size"]].drop_duplicates()
    for family, model, size in cells.itertuples(index=False, name=None):
        chosen = table[(table["model"] == model) & (table["image_size"] == size)]
        row = {"family": family, "model": model, "image_size": int(size)}
        row |= t_interval(measured(table, SPEED, model, size))._asdict()
        for name in ("timing/best_batch", BATCH, "timing/memory_limit_bytes", "cost/forward_flops", "cost/params"):
            values = chosen.loc[chosen["state"] == "done", name].dropna() if name in chosen else []
            row[name.split("/")[1]] = float(np.median(values)) if len(values) else float("nan")
        rows.append(row)
    names = ["family", "model", "image_size", "mean", "half", "n", "best_batch", "max_batch", "memory_limit_bytes"]
    frame = pd.DataFrame(rows, columns=[*names, "forward_flops", "params"])
    rank = {"vit": 1, "resnet": 0, "hybrid": 2}
    frame["rank"] = [rank.get(family, 3) for family in frame["family"]]
    # until every model of a family has finished a run, the order of the grid stands in for the unknown sizes
    size = frame.groupby("model", sort=False)["params"].transform("mean")
    known = size.notna().groupby(frame["family"]).transform("all")
    frame["size"] = size.where(known, frame.groupby("model", sort=False).ngroup())
    ordered = frame.sort_values(["rank", "size", "model", "image_size"], kind="stable", ignore_index=True)
    return ordered.drop(columns=["rank", "size"])


def measured(table: pd.DataFrame, metric: str, model: str, size: float) -> pd.Series:
    """The finished values of one model at one size (see SAME), by repeat; empty for a metric that no run has."""
    own = [each for each in table.loc[table["model"] == model, "image_size"].unique() if _same(each, size)]
    if metric not in table or not own:
        return pd.Series(dtype=float)
    return by_seed(table, metric, ("model", "image_size"), (model, min(own, key=lambda each: abs(each - size))))


def shared_sizes(table: pd.DataFrame, model: str, *others: str) -> list[int]:
    """The input sizes of `model` at which it and all `others` (see SAME) have a finished speed, ascending."""
    done = table[metric_values(table, SPEED).notna()] if SPEED in table else table.iloc[:0]
    sizes, *rest = (done.loc[done["model"] == name, "image_size"].unique() for name in (model, *others))
    return sorted(int(size) for size in sizes if all(any(_same(other, size) for other in each) for each in rest))


def _same(a: float, b: float) -> bool:
    return max(a, b) <= SAME * min(a, b)


def middle(sizes: list[int]) -> int:
    """The middle one, the larger of two: 224 px of the paper's 64, 128, 224, 384, 512."""
    return sizes[len(sizes) // 2]


def pairs(table: pd.DataFrame, frame: pd.DataFrame) -> tuple[Pair, ...]:
    """Each ViT with the ResNet of nearest FLOPs at the middle size of both, within the factor LIKE; small to large.

    `frame` is `speeds(table)`. Empty when FLOPs are not known. So the paper pairs B/32 with R50x1 and L/16 with R152x2 (C47).
    """
    models = frame.groupby("family", sort=False)["model"].unique().to_dict()
    found = []
    for vit in models.get("vit", ()):
        best: tuple[float, Pair] | None = None
        for resnet in models.get("resnet", ()):
            sizes = shared_sizes(table, vit, resnet)
            if not sizes:
                continue
            its_sizes = shared_sizes(table, resnet, vit)
            ours, its = _flops(frame, vit, middle(sizes)), _flops(frame, resnet, middle(its_sizes))
            distance = abs(np.log(ours / its))
            if distance <= np.log(LIKE) and (best is None or distance < best[0]):
                best = (distance, Pair(vit, resnet, ours))
        if best:
            found.append(best[1])
    return tuple(sorted(found, key=lambda pair: pair.flops))


def _flops(frame: pd.DataFrame, model: str, size: int) -> float:
    return float(frame.loc[(frame["model"] == model) & (frame["image_size"] == size), "forward_flops"].iloc[0])


def ratio(table: pd.DataFrame, pair: Pair, size: int) -> pd.Series:
    """ln(images/s of the ViT over that of the ResNet), by repeat."""
    vit, resnet = (measured(table, SPEED, model, size) for model in (pair.vit, pair.resnet))
    return (vit / resnet).dropna().map(math.log)
