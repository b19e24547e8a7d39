"""Figure 3: accuracy after fine-tuning by pre-training set; ViTs and hybrids against the band of BiT ResNets. Right: the paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from analysis.data_scale_fewshot import MARKERS
from analysis.drawing import Drawing, Results, describe
from analysis.style import FAMILY_COLOURS, PAPER, WIDTH
from vitstudy.results.data_scale import table5_frame
from vitstudy.results.data_scale_published import SETS
from vitstudy.results.paper import figure3
from vitstudy.results.pretraining import PretrainingSet, fine_tuned, targets

BAND = "0.87"


def draw(results: Results) -> Drawing | None:
    """Left: ours, on the main target. Right: the paper's Figure 3. None before a fine-tuning to the main target has finished."""
    found = targets(results.table, results.metric)
    frame = table5_frame(results.table, results.metric)
    frame = frame[frame["target"] == found[0]] if found else frame
    drawn = frame[frame["n"] > 0]
    if drawn.empty:
        return None
    sets = fine_tuned(results.table, found[0]).sets
    figure, (ours, paper) = plt.subplots(1, 2, figsize=(WIDTH + 0.4, 3.6), layout="constrained")
    _ours(ours, frame, sets)
    ours.set(title=f"ours, fine-tuned on {found[0]}", ylabel="test accuracy, %", xlabel="pre-training set")
    published = _paper(paper)
    for axis in (ours, paper):
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=3, frameon=False, fontsize=7)
        axis.tick_params(labelsize=7)
        axis.margins(x=0.08)
    sns.despine(figure)
    gaps = int((frame["n"] == 0).sum())
    missing = f"{gaps} of {len(frame)} points have no finished run and are not drawn. " if gaps else ""
    caption = (
        f"Figure 3: test accuracy after fine-tuning on {found[0]}, the target of the study's main metric (all targets: Table 5), "
        "by pre-training set; mean and 95 % t interval over seeds. Grey: between the lowest and the highest mean of BiT ResNets. "
        f"{missing}Right: the paper, ImageNet, one run each. {describe(results)}"
    )
    data = pd.concat([drawn.assign(whose="ours"), published.assign(whose="paper")], ignore_index=True)
    columns = [
        "whose",
        "target",
        "upstream",
        "upstream_images",
        "upstream_classes",
        "upstream_instances",
        "family",
        "model",
    ]
    return Drawing(figure, data[[*columns, "mean", "half", "n", "edge"]], caption)


def _ours(axis: Axes, frame: pd.DataFrame, sets: tuple[PretrainingSet, ...]) -> None:
    position = {(each.source, each.images, each.classes): x for x, each in enumerate(sets)}
    keys = frame[["upstream", "upstream_images", "upstream_classes"]].astype(object)
    rows = frame.assign(x=[position[tuple(key)] for key in keys.where(keys.notna(), None).itertuples(index=False)])
    bit = rows[rows["family"] == "resnet"].groupby("x")["mean"].agg(["min", "max"]).dropna()
    if len(bit):
        axis.fill_between(
            bit.index, 100 * bit["min"], 100 * bit["max"], color=BAND, linewidth=0, label="BiT, band of means"
        )
    models = list(dict.fromkeys(rows.loc[rows["n"] > 0, "model"]))
    offsets = np.linspace(-0.18, 0.18, len(models)) if len(models) > 1 else [0.0]
    places: dict[str, int] = {}
    for name, offset in zip(models, offsets, strict=True):
        points = rows[(rows["model"] == name) & (rows["n"] > 0)].sort_values("x")
        family = str(rows.loc[rows["model"] == name, "family"].iloc[0])
        place = places[family] = places.get(family, -1) + 1
        axis.errorbar(
            points["x"] + offset, 100 * points["mean"], yerr=100 * points["half"], label=name, linestyle="none",
            marker=MARKERS[place % len(MARKERS)], markersize=3 if family == "resnet" else 6, capsize=2, elinewidth=0.9,
            color=FAMILY_COLOURS[family], alpha=0.6 if family == "resnet" else 1.0,
        )  # fmt: skip
    axis.set_xticks(range(len(sets)), [_label(each) for each in sets])


def _label(over: PretrainingSet) -> str:
    """Source, images, classes x instances: a line each."""
    size = "all" if over.images is None else f"{over.images:,.0f}"
    shape = "" if over.classes is None else f"\n{over.classes:,.0f} × {over.instances:,.0f}"
    return f"{over.source}\n{size} images{shape}"


def _paper(axis: Axes) -> pd.DataFrame:
    frame = figure3()
    x = {name: place for place, name in enumerate(SETS)}
    edges = frame.dropna(subset="edge").pivot(index="pretraining", columns="edge", values="paper").loc[list(SETS)]
    axis.fill_between(
        range(len(SETS)), 100 * edges["lower"], 100 * edges["upper"], color=BAND, linewidth=0, label="BiT, band"
    )
    for place, (name, points) in enumerate(frame[frame["edge"].isna()].groupby("model", sort=False)):
        axis.plot(
            [x[over] + 0.06 * (place - 2) for over in points["pretraining"]], 100 * points["paper"], MARKERS[place],
            color=PAPER, markerfacecolor=PAPER if "L/" in str(name) else "white", markersize=5, label=str(name),
        )  # fmt: skip
    axis.set_xticks(
        range(len(SETS)),
        [f"{name}\n{images} images" for name, images in zip(SETS, ("1.3M", "14M", "303M"), strict=True)],
    )
    axis.set_title("paper, fine-tuned on ImageNet", color=PAPER)
    axis.set(xlabel="pre-training set", ylabel="ImageNet top-1, %")
    axis.yaxis.label.set_color(PAPER)
    axis.tick_params(axis="y", colors=PAPER)
    family = ["resnet" if name == "BiT" else "vit" for name in frame["model"]]
    renamed = frame.rename(columns={"pretraining": "upstream", "paper": "mean"})
    return renamed.assign(target="ImageNet", family=family, n=1)
