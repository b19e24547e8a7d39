"""Figure 5: accuracy after transfer against pre-training compute, ours above, the paper's below, each with its fitted laws.

Above at the right also against device-hours, which the paper does not print.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from analysis.drawing import Drawing, Results, describe
from analysis.style import FAMILY_COLOURS, PAPER, WIDTH
from vitstudy.results.compute_claims import NAMES
from vitstudy.results.frontier import Frontier
from vitstudy.results.paper_scaling import figure5
from vitstudy.results.transfers import AVERAGE, ORDER, Transfers, published_frontiers, table6_comparison, transfers

MARKERS = "osD^vPX"
"""By the rank of a model in its family, small to large."""


def draw(results: Results) -> Drawing | None:
    """Columns: mean of the targets, main target, and (above) the mean again. Rows of a column span the same number of decades.

    None before a transfer is done.
    """
    given = transfers(results.table, results.metric)
    compared = table6_comparison(given)
    if compared.empty or not (compared["exaflops"].notna() & compared[AVERAGE].notna()).any():
        return None
    figure, axes = plt.subplots(2, 3, figsize=(1.3 * WIDTH, 5.6), layout="constrained")
    columns = (AVERAGE, given.targets[0])
    frames = [_device_hours(axes[0][2], compared)]
    for axis, below, column, published in zip(axes[0], axes[1], columns, (AVERAGE, "imagenet"), strict=False):
        frames += _ours(axis, given, compared, column)
        frames += _paper(below, published)
        _align(axis, below)
        axis.set(ylabel=f"ours: {_name(column, given.targets)}, %")
        below.set(ylabel=f"paper: {'Average-5' if published == AVERAGE else 'ImageNet'}, %")
        for each in (axis, below):
            each.set_xlabel("pre-training compute, exaFLOPs")
    axes[0][2].set(ylabel=f"ours: {_name(AVERAGE, given.targets)}, %", xlabel="pre-training, device-hours")
    for each in axes.flat:
        each.spines["right"].set_visible(False)
    axes[1][2].set_axis_off()
    _legend(axes[1][2], compared)
    caption = (
        f"Figure 5: accuracy after fine-tuning (mean and 95 % t interval over seeds) against the compute of pre-training; left: "
        f"mean of {', '.join(given.targets)}, right: {given.targets[0]}. Lines: error = exp(a) x C^-b through all models of a "
        "family, mean of the seeds' laws with a pointwise 95 % t band; seeds with a gap in the family are left out of its law. "
        "At the far right: against the hours that the pre-training took on one device. "
        "Below: the paper's points (JFT-300M, one run each; 7 epochs open, 14 filled) in the same unit, with the same law. Upper "
        f"and lower axes span the same number of decades. {describe(results)}"
    )
    return Drawing(figure, pd.concat(frames, ignore_index=True), caption)


def _name(column: str, targets: tuple[str, ...]) -> str:
    return f"mean of {len(targets)} target{'s' * (len(targets) > 1)}" if column == AVERAGE else column


def _device_hours(axis: Axes, compared: pd.DataFrame) -> pd.DataFrame:
    drawn = [_own_points(axis, compared, family, AVERAGE, "device_hours") for family in ORDER]
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    return pd.concat(drawn).assign(panel=f"{AVERAGE} by device-hours")


def _own_points(axis: Axes, compared: pd.DataFrame, family: str, column: str, x: str) -> pd.DataFrame:
    """Points with intervals of one family; what was drawn."""
    rows = compared[compared["family"] == family]
    _points(axis, family, rows["model"], rows["upstream_steps"], rows[x], rows[column], rows[f"{column}_half"])
    return pd.DataFrame(
        {
            "panel": column, "kind": "ours", "family": family, "model": rows["model"], "steps": rows["upstream_steps"],
            x: rows[x], "mean": rows[column], "half": rows[f"{column}_half"], "n": rows[f"{column}_n"],
        }
    )  # fmt: skip


def _ours(axis: Axes, given: Transfers, compared: pd.DataFrame, column: str) -> list[pd.DataFrame]:
    """Points with intervals, law with band, per family; what was drawn."""
    frames = []
    for family in ORDER:
        frames.append(_own_points(axis, compared, family, column, "exaflops"))
        law = given.frontier(family, column)
        if law is not None:
            frames.append(_law(axis, law, family).assign(panel=column, kind="our law", n=len(law.fits)))
    return frames


def _paper(axis: Axes, column: str) -> list[pd.DataFrame]:
    published, laws = figure5(), published_frontiers(column)
    frames = []
    for family in ORDER:
        rows = published[published["family"] == family].sort_values("flops", kind="stable")
        none = pd.Series(np.nan, index=rows.index)
        _points(axis, family, rows["model"], rows["epochs"], rows["flops"] / 1e18, rows[column], none)
        drawn = {"family": family, "model": rows["model"], "steps": rows["epochs"], "exaflops": rows["flops"] / 1e18}
        frames.append(pd.DataFrame({"panel": f"paper {column}", "kind": "paper", **drawn, "mean": rows[column]}))
        frames.append(_law(axis, laws[family], family).assign(panel=f"paper {column}", kind="paper's law"))
    for side in axis.spines.values():
        side.set_color(PAPER)
    axis.tick_params(colors=PAPER, which="both")
    axis.yaxis.label.set_color(PAPER)
    return frames


def _points(
    axis: Axes, family: str, models: pd.Series, steps: pd.Series, x: pd.Series, y: pd.Series, half: pd.Series
) -> None:
    """Marker by size, open for the shorter duration of the family's longest, filled for the longest."""
    ranks = {name: i for i, name in enumerate(dict.fromkeys(models))}
    colour, longest = FAMILY_COLOURS[family], steps.max()
    for name, duration, at, value, width in zip(models, steps, x, y, half, strict=True):
        face = colour if duration == longest else "white"
        axis.errorbar(
            [at], [100 * value], yerr=None if math.isnan(width) else [100 * width], fmt=MARKERS[ranks[name] % len(MARKERS)],
            color=colour, markerfacecolor=face, markersize=4.5, capsize=2, elinewidth=0.9, zorder=3,
        )  # fmt: skip
    axis.set_xscale("log")


def _law(axis: Axes, law: Frontier, family: str) -> pd.DataFrame:
    x = np.linspace(law.low, law.high, 41)
    band, exaflops = law.band(x), np.exp(x) / 1e18
    axis.plot(exaflops, 100 * band["mean"], color=FAMILY_COLOURS[family], linewidth=1.2)
    if band["half"].notna().all():
        low, high = (100 * (band["mean"] + sign * band["half"]) for sign in (-1, 1))
        axis.fill_between(exaflops, low, high, color=FAMILY_COLOURS[family], alpha=0.15, linewidth=0)
    return pd.DataFrame({"family": family, "exaflops": exaflops, "mean": band["mean"], "half": band["half"]})


def _align(ours: Axes, paper: Axes) -> None:
    """Equal decades above and below, each centred on its own points: slopes can be compared by eye."""
    spans = [np.log10(axis.get_xlim()) for axis in (ours, paper)]
    half = max(high - low for low, high in spans) / 2
    for axis, (low, high) in zip((ours, paper), spans, strict=True):
        axis.set_xlim(10 ** ((low + high) / 2 - half), 10 ** ((low + high) / 2 + half))


def _legend(axis: Axes, compared: pd.DataFrame) -> None:
    families = [name for name in ORDER if (compared["family"] == name).any()]
    handles: list[Artist] = [Line2D([], [], color=FAMILY_COLOURS[name], label=NAMES[name]) for name in families]
    sizes = max(rows["model"].nunique() for _, rows in compared.groupby("family"))
    names = ("small", "middle", "large") if sizes == 3 else tuple(f"size {i + 1}" for i in range(sizes))
    for marker, name in zip(MARKERS, names if sizes > 1 else (), strict=False):
        handles.append(Line2D([], [], color="0.3", marker=marker, linestyle="", markersize=4.5, label=name))
    if compared["upstream_steps"].nunique() > 1:
        for face, name in (("white", "open: shorter"), ("0.3", "filled: longest")):
            handles.append(Patch(facecolor=face, edgecolor="0.3", label=name))
    axis.legend(handles=handles, loc="center", ncols=2, frameon=False, fontsize=8)
