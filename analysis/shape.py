"""Figure 8: accuracy against relative compute along each dimension of a ViT; ours left, the paper's right, one compute axis."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from analysis.drawing import Drawing, Results, describe
from analysis.style import PAPER, WIDTH
from vitstudy.results.paper_scaling import figure8
from vitstudy.results.shape_lines import AXES, NAMES, line, lines

MARKERS = dict(zip(AXES, "osD^v", strict=True))


def draw(results: Results) -> Drawing | None:
    """Both panels share the axis of compute (base = 1), each has its own of accuracy. None before the base is done."""
    found = lines(results.table, results.metric)
    if not ((found["axis"] == "base") & (found["n"] > 0)).any():
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.3), sharex=True, layout="constrained")
    colours = dict(
        zip(AXES, [sns.color_palette("colorblind")[i] for i in (0, 1, 2, 4, 7)], strict=True)
    )  # none like PAPER
    published, frames = figure8(), []
    for axis in AXES:
        points = line(found, axis)
        style = {"color": colours[axis], "marker": MARKERS[axis], "markersize": 4.5, "label": NAMES[axis]}
        left.errorbar(
            points["compute"], 100 * points["mean"], yerr=100 * points["half"].fillna(0), capsize=2, elinewidth=0.9, linewidth=1.2,
            **style,
        )  # fmt: skip
        drawn = points[["compute", "mean", "half", "n", "num_layers", "hidden_dim", "mlp_dim", "patch_size"]]
        frames.append(drawn.assign(kind="ours", axis=axis))
        paper = published[published["axis"] == axis]
        right.plot(paper["compute"], 100 * paper["accuracy"], linewidth=1.2, linestyle="--", **style)
        frames.append(paper.rename(columns={"accuracy": "mean"}).assign(kind="paper"))
    left.set_xscale("log", base=2)
    _ticks(left)
    left.set(ylabel=f"ours: {_metric(results.metric)}, %")
    right.set(ylabel="paper: 5-shot ImageNet, %")
    _as_paper(right)
    for axes in (left, right):
        axes.spines["right"].set_visible(False)
    figure.supxlabel("forward FLOPs relative to the base", fontsize=9)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=len(AXES), frameon=False, fontsize=8, title="what is scaled"
    )
    caption = (
        f"Figure 8 (D.2): {_metric(results.metric)} (mean and 95 % t interval over seeds) against forward FLOPs relative to the "
        "base, where all lines cross. Right: the paper's left panel, 5-shot ImageNet after JFT-300M, on the same axis of compute. "
        f"{_missing(found)}{describe(results)}"
    )
    data = pd.concat(frames, ignore_index=True)
    return Drawing(figure, data[["kind", "axis", *(name for name in data if name not in ("kind", "axis"))]], caption)


def _ticks(axis: Axes) -> None:
    low, high = axis.get_xlim()
    values = [value for value in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32) if low <= value <= high]
    axis.set_xticks(values, [f"1/{1 / value:.0f}" if value < 1 else f"{value:.0f}" for value in values])


def _as_paper(axis: Axes) -> None:
    for side in axis.spines.values():
        side.set_color(PAPER)
    axis.tick_params(axis="y", colors=PAPER)
    axis.yaxis.label.set_color(PAPER)


def _metric(metric: str) -> str:
    kind, shots, *source = metric.split("/")
    return f"{shots}-shot {source[0] if source else 'accuracy'}" if kind == "fewshot" else metric.replace("/", " ")


def _missing(found: pd.DataFrame) -> str:
    empty = int((found["n"] == 0).sum())
    return f"{empty} of {len(found)} shapes have no finished run. " if empty else ""
