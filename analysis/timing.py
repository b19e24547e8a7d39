"""Figure 12: inference speed and largest batch against input size, log-log; ours above, the paper's TPUv3 core below."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from analysis.drawing import Drawing, Results
from analysis.style import FAMILY_COLOURS, PAPER, WIDTH
from vitstudy.results.paper_scaling import figure12
from vitstudy.results.speeds import speeds
from vitstudy.results.stats import count_states

MARKERS, LINES = "osD^vPX", ("-", "--", ":", "-.")
"""By the rank of a model in its family."""


def draw(results: Results) -> Drawing | None:
    """Left: images/s; right: largest batch. None before anything was measured."""
    ours = speeds(results.table)
    measured = ours[ours["n"] > 0]
    if measured.empty:
        return None
    paper = figure12().rename(columns={"images_per_s": "mean"})
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 6.0), sharex="row", layout="constrained")
    for (left, right), frame in zip(axes, (measured, paper), strict=True):
        _speed(left, frame)
        _batch(right, frame)
        sizes = sorted(set(frame["image_size"]))
        shown = [
            size
            for size in sizes
            if size in frame.loc[frame["model"] == frame["model"].iloc[0], "image_size"].to_numpy()
        ]
        for axis in (left, right):
            axis.set_xticks(shown, [str(size) for size in shown])
            axis.minorticks_off()
            axis.spines["right"].set_visible(False)
        right.legend(
            *left.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, fontsize=7
        )
    axes[0][0].set_ylabel("ours: images/s")
    axes[0][1].set_ylabel("ours: largest batch")
    axes[1][0].set_ylabel("paper: images/s/core")
    axes[1][1].set_ylabel("paper: largest batch per core")
    for axis in axes[1]:
        _as_paper(axis)
    figure.supxlabel("input size, pixels", fontsize=9)
    columns = ["family", "model", "image_size", "mean", "half", "n", "max_batch"]
    data = pd.concat(
        [measured[columns].assign(kind="ours"), paper.assign(kind="paper")],
        ignore_index=True,
    )
    return Drawing(figure, data[["kind", *columns]], _caption(results, ours))


def _style(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Model -> colour of its family, marker and line of its rank in it."""
    styles: dict[str, dict[str, Any]] = {}
    for family, rows in frame.groupby("family", sort=False):
        # the earlier drawn, the wider and larger, so that a line exactly on it does not hide it
        under = ("resnet", "vit", "hybrid").index(str(family))
        for i, model in enumerate(dict.fromkeys(rows["model"])):
            styles[model] = {
                "color": FAMILY_COLOURS[str(family)], "marker": MARKERS[i % len(MARKERS)], "linestyle": LINES[i % len(LINES)],
                "markersize": (8, 6, 3.5)[under], "linewidth": (3.4, 2.0, 0.9)[under], "alpha": (0.55, 0.8, 1.0)[under],
                "label": model,
            }  # fmt: skip
    return styles


def _speed(axis: Axes, frame: pd.DataFrame) -> None:
    for model, style in _style(frame).items():
        rows = frame[frame["model"] == model]
        half = rows["half"].fillna(0) if "half" in rows else pd.Series(0.0, index=rows.index)
        # a logarithmic axis ends above 0: an interval that reaches 0 is drawn down to a hundredth of the mean
        below = np.minimum(half, 0.99 * rows["mean"])
        axis.errorbar(rows["image_size"], rows["mean"], yerr=[below, half], capsize=2, elinewidth=0.9, **style)
    axis.set(xscale="log", yscale="log")


def _batch(axis: Axes, frame: pd.DataFrame) -> None:
    for model, style in _style(frame).items():
        rows = frame[(frame["model"] == model) & frame["max_batch"].notna()]
        if len(rows):
            axis.plot(rows["image_size"], rows["max_batch"], **style)
    axis.set_xscale("log")
    if frame["max_batch"].notna().any():
        axis.set_yscale("log", base=2)
        exponents = range(int(np.floor(np.log2(frame["max_batch"].min()))), int(np.log2(frame["max_batch"].max())) + 1)
        axis.set_yticks([2**i for i in exponents], [f"{2**i:,}" for i in exponents])
    else:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "not searched", transform=axis.transAxes, ha="center", va="center", color="0.5")


def _as_paper(axis: Axes) -> None:
    for side in axis.spines.values():
        side.set_color(PAPER)
    axis.tick_params(colors=PAPER, which="both")
    axis.yaxis.label.set_color(PAPER)


def _caption(results: Results, ours: pd.DataFrame) -> str:
    table, counts = results.table, count_states(results.table)
    devices = sorted(str(name) for name in table["device_name"].dropna().unique()) if "device_name" in table else []
    limits = ", ".join(f"{limit / 2**30:.3g} GiB" for limit in sorted(ours["memory_limit_bytes"].dropna().unique()))
    gaps = [f"{counts[state]} {state}" for state in ("missing", "failed", "diverged") if counts[state]]
    missing = f" ({', '.join(gaps)})" if gaps else ""
    return (
        "Figure 12 (D.5): inference images/s, best over batch sizes (mean and 95 % t interval over repeats), and the largest batch "
        f"that fits{f' {limits}' if limits else ''}, against input size. Ours on {', '.join(devices) or 'an unknown device'}; the "
        "paper's per TPUv3 core, where the search stopped at 1024. Colour: family; marker and line: size. Scale "
        f"{results.scale}; {counts['done']} of {counts['planned']} measurements{missing}."
    )
