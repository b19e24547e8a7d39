"""Table 8 as a figure: our accuracy for each cell with its interval, the paper's values on an axis of their own."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from analysis.drawing import Drawing, Results, describe, metric_name
from analysis.style import OURS, PAPER, WIDTH
from vitstudy.results.compare import table8_comparison
from vitstudy.results.stats import metric_values

NAMES = {"none": "none", "1d": "1-D", "2d": "2-D", "relative": "relative"}
PLACES = {"stem": "stem", "every-layer": "every\nlayer", "every-layer-shared": "every\nlayer,\nshared"}


def draw(results: Results) -> Drawing:
    """Left axis: ours, dots are seeds, bars 95 % t intervals. Right axis: the paper's ViT-B/16, equal range in points."""
    compared = table8_comparison(results.table, results.metric)
    compared["cell"] = [_label(*cell) for cell in zip(compared["posemb"], compared["posemb_at"], strict=True)]
    seeds = _seeds(results, compared)
    figure, ours = plt.subplots(figsize=(WIDTH, 3.2))
    x = range(len(compared))
    sns.stripplot(
        data=seeds,
        x="cell",
        y="percent",
        order=list(compared["cell"]),
        ax=ours,
        color=OURS,
        alpha=0.35,
        size=4,
        jitter=False,
    )
    ours.errorbar(
        x,
        100 * compared["mean"],
        yerr=100 * compared["half"].fillna(0),
        fmt="o",
        color=OURS,
        capsize=3,
        label="ours (left axis)",
    )
    paper = ours.twinx()
    paper.plot(
        [i + 0.22 for i in x],
        100 * compared["paper"],
        "D",
        color=PAPER,
        markersize=5,
        label="paper, ViT-B/16 (right axis)",
    )
    _align(ours, paper, compared, seeds)
    ours.set(xlabel="", ylabel=f"ours: {metric_name(results.metric)}, %")
    paper.set_ylabel("paper: 5-shot ImageNet, %")
    for axis, colour in ((ours, OURS), (paper, PAPER)):
        axis.yaxis.label.set_color(colour)
        axis.tick_params(axis="y", colors=colour)
    handles = [*ours.get_legend_handles_labels()[0], *paper.get_legend_handles_labels()[0]]
    ours.legend(
        handles=handles,
        labels=[str(h.get_label()) for h in handles],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        frameon=False,
    )
    columns = ["posemb", "posemb_at", "mean", "half", "n", "paper"]
    caption = (
        f"Table 8 (D.4), {metric_name(results.metric)}: mean and 95 % t interval over seeds (pale dots), beside the paper's "
        f"values (one run each). Both axes span the same number of points. {describe(results)}"
    )
    return Drawing(figure, compared[columns], caption)


def _label(posemb: str, place: str) -> str:
    return NAMES[posemb] + (f"\n{PLACES[place]}" if posemb in ("1d", "2d") else "")


def _seeds(results: Results, compared: pd.DataFrame) -> pd.DataFrame:
    table = results.table
    labels = [_label(*cell) for cell in zip(table["posemb"], table["posemb_at"], strict=True)]
    return pd.DataFrame({"cell": labels, "percent": 100 * metric_values(table, results.metric)}).dropna()


def _align(ours: Axes, paper: Axes, compared: pd.DataFrame, seeds: pd.DataFrame) -> None:
    """Equal spans of both axes, each centred on its own values: differences can be compared by eye."""
    low = min((100 * (compared["mean"] - compared["half"].fillna(0))).min(), seeds["percent"].min())
    high = max((100 * (compared["mean"] + compared["half"].fillna(0))).max(), seeds["percent"].max())
    published = 100 * compared["paper"]
    half = 0.58 * max(high - low, published.max() - published.min())
    ours.set_ylim((high + low) / 2 - half, (high + low) / 2 + half)
    centre = (published.max() + published.min()) / 2
    paper.set_ylim(centre - half, centre + half)
