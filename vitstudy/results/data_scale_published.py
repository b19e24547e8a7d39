"""What the paper's own numbers say on C6-C12, in points: from Table 5 (C6-C8), Figure 3 (C9), Figure 4 (C10-C12)."""

from __future__ import annotations

import pandas as pd

from vitstudy.results.paper import figure3, figure4, table5

SETS: tuple[str, ...] = ("ImageNet", "ImageNet-21k", "JFT-300M")
"""The paper's pre-training sets, small to large."""

PAIRS: tuple[tuple[str, str], ...] = (("ViT-B/32", "R50x1"), ("ViT-L/16", "R152x2"))
"""ViT and ResNet of like cost (C10, C11, C47)."""


def size_gaps() -> pd.DataFrame:
    """Large minus Base on ImageNet (fractions): index the patch size, a column for each pre-training set."""
    rows = table5().query("target == 'ImageNet'").pivot(index="model", columns="pretraining", values="paper")
    gaps = {patch: rows.loc[f"ViT-L/{patch}"] - rows.loc[f"ViT-B/{patch}"] for patch in ("16", "32")}
    return pd.DataFrame(gaps).T[list(SETS)]


def similar_within() -> float:
    """Half-way between the largest difference that C7 calls similar and the smallest that C6 calls worse (fraction)."""
    gaps = size_gaps().abs()
    return float((gaps["ImageNet-21k"].max() + gaps["ImageNet"].min()) / 2)


def statement(claim: str) -> str:
    """``paper: ...``, the published numbers behind a claim."""
    if claim in ("C6", "C7", "C8"):
        over = SETS[int(claim[1]) - 6]
        gaps = size_gaps()[over]
        text = ", ".join(f"L/{patch} minus B/{patch} {_points(gap)}" for patch, gap in gaps.items()) + f" on {over}"
        return f"paper: {text}" + (f"; similar: within ± {100 * similar_within():.1f} points" if claim == "C7" else "")
    if claim == "C9":
        gaps = best_gaps()
        return "paper: best ViT minus best BiT " + ", ".join(f"{_points(gaps[name])} on {name}" for name in SETS)
    values = figure4().pivot(index="images", columns="model", values="paper")
    first, last, tenth = values.iloc[0], values.iloc[-1], values.iloc[1]
    if claim == "C12":
        gains = last - tenth
        return "paper: gain from 30M to 300M " + ", ".join(
            f"{name} {_points(gains[name])}" for pair in PAIRS for name in pair
        )
    ends = [f"{vit} minus {resnet} {_points(first[vit] - first[resnet])} at 9M" for vit, resnet in PAIRS]
    if claim == "C11":
        ends = [f"{end} and {_points(last[v] - last[r])} at 300M" for end, (v, r) in zip(ends, PAIRS, strict=True)]
    return f"paper: {', '.join(ends)}"


def best_gaps() -> pd.Series:
    """Best ViT minus the upper edge of the BiT band in Figure 3 (fractions), by pre-training set."""
    frame = figure3()
    best = frame[frame["edge"].isna()].groupby("pretraining")["paper"].max()
    return best - frame[frame["edge"] == "upper"].set_index("pretraining")["paper"]


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
