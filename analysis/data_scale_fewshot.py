"""Figure 4: few-shot accuracy by the number of pre-training images. A panel per upstream source; the paper on its own axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from analysis.drawing import Drawing, Results, describe, metric_name
from analysis.style import FAMILY_COLOURS, PAPER, WIDTH
from vitstudy.results.data_scale import fewshot_frame
from vitstudy.results.paper import figure4
from vitstudy.results.pretraining import Model, plain_pretraining

MARKERS, LINES = ("o", "s", "^", "D", "v", "P"), ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 3)))
"""By place in the family, small to large."""


def draw(results: Results) -> Drawing | None:
    """Rows: data set of the few-shot evaluation; columns: upstream; last: the paper. None before anything has finished."""
    frame = fewshot_frame(results.table, results.metric)
    drawn = frame[(frame["n"] > 0) & frame["upstream_images"].notna()]
    if drawn.empty:
        return None
    measures, sources = list(dict.fromkeys(drawn["measure"])), list(dict.fromkeys(drawn["upstream"]))
    styles = _styles(plain_pretraining(results.table, results.metric).models)
    figure, axes = plt.subplots(
        len(measures), len(sources) + 1, figsize=(WIDTH + 1.2, 0.9 + 2.35 * len(measures)), squeeze=False, layout="constrained"
    )  # fmt: skip
    for row, measure in enumerate(measures):
        for column, source in enumerate(sources):
            if column:
                axes[row, column].sharey(axes[row, 0])
            panel = drawn[(drawn["measure"] == measure) & (drawn["upstream"] == source)]
            _panel(axes[row, column], panel, styles)
            axes[row, column].set_title(f"ours, pre-trained on {source}" if row == 0 else "")
            axes[row, column].tick_params(labelleft=column == 0)
        axes[row, 0].set_ylabel(f"{metric_name(measure)}, %".replace(" on ", "\non "))
    paper = _paper(axes[0, -1])
    sns.despine(figure)
    _legends(figure, styles, axes[:, -1], axes[0, :-1].tolist(), axes[0, -1])
    caption = (
        "Figure 4: linear accuracy on frozen features by the number of pre-training images, the same hyper-parameters for all "
        f"sizes, early stopping on minival; mean and 95 % t interval over seeds, models set apart sideways. {_missing(frame)}"
        "Right, on its own axes: the paper, 5-shot ImageNet, pre-trained on subsets of JFT-300M, one run each. "
        f"{describe(results)}"
    )
    ours = drawn.drop(columns=["partner", "difference", "difference_half", "difference_n"]).assign(whose="ours")
    return Drawing(figure, pd.concat([ours, paper.assign(whose="paper")], ignore_index=True), caption)


def _styles(models: Sequence[Model]) -> dict[str, dict[str, Any]]:
    """Model -> colour of its family, marker and line of its place in it; `models` are small to large."""
    found: dict[str, dict[str, Any]] = {}
    for model in models:
        place = sum(other.family == model.family for other in models[: models.index(model)]) % len(MARKERS)
        found[model.name] = {"color": FAMILY_COLOURS[model.family], "marker": MARKERS[place], "linestyle": LINES[place]}
    return found


def _panel(axis: Axes, panel: pd.DataFrame, styles: dict[str, dict[str, Any]]) -> None:
    shown = [name for name in styles if name in set(panel["model"])]
    for place, name in enumerate(shown):
        nudge = 1.05 ** (place - (len(shown) - 1) / 2)  # intervals that overlap stay readable
        line = panel[panel["model"] == name].sort_values("upstream_images")
        axis.errorbar(
            line["upstream_images"] * nudge, 100 * line["mean"], yerr=100 * line["half"], label=name,
            capsize=2, markersize=4.5, linewidth=1.1, elinewidth=0.8, **styles[name],
        )  # fmt: skip
    sets = panel.drop_duplicates("upstream_images").sort_values("upstream_images")
    _sizes(axis, [(float(row["upstream_images"]), _size(row)) for row in sets.to_dict("records")])
    axis.set_xlabel("images (classes × instances)" if sets["upstream_classes"].notna().any() else "images")


def _size(row: dict[Any, Any]) -> str:
    """Two lines for fractals: images, classes x instances."""
    fractals = pd.notna(row["upstream_classes"])
    shape = f"\n{_short(row['upstream_classes'])}×{_short(row['upstream_instances'])}" if fractals else ""
    return _short(row["upstream_images"]) + shape


def _short(count: float) -> str:
    """``16k``: at most four characters for a round number."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.3g}{unit}"
    return f"{count:.0f}"


def _sizes(axis: Axes, ticks: list[tuple[float, str]]) -> None:
    axis.set_xscale("log")
    axis.set_xticks([size for size, _ in ticks], [label for _, label in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.tick_params(labelsize=7)


def _paper(axis: Axes) -> pd.DataFrame:
    """The published lines, in the paper's colour: ViT filled, BiT hollow."""
    frame = figure4()
    for place, (name, line) in enumerate(frame.groupby("model", sort=False)):
        vit = line["family"].iloc[0] == "vit"
        axis.plot(
            line["images"], 100 * line["paper"], color=PAPER, marker=MARKERS[place], linestyle="-" if vit else "--",
            markerfacecolor=PAPER if vit else "white", markersize=4, linewidth=1.1, label=str(name),
        )  # fmt: skip
    _sizes(axis, [(size, f"{size / 1e6:.0f}M") for size in sorted(frame["images"].unique())])
    axis.set_title("paper, pre-trained on JFT-300M", color=PAPER)
    axis.set(xlabel="images", ylabel="5-shot ImageNet, %")
    axis.yaxis.label.set_color(PAPER)
    axis.tick_params(axis="y", colors=PAPER)
    renamed = frame.rename(columns={"images": "upstream_images", "paper": "mean"})
    return renamed.assign(measure="5-shot ImageNet", upstream="JFT-300M", n=1)


def _legends(figure: Figure, order: Iterable[str], last: Any, ours: list[Axes], paper: Axes) -> None:
    """In the empty corner below the paper's panel when there is one, else below all."""
    found = {label: handle for axis in ours for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    handles = {name: found[name] for name in order if name in found}
    theirs = paper.get_legend_handles_labels()
    for axis in last[1:]:
        axis.set_axis_off()
    if len(last) > 1:
        first = last[1].legend(
            handles.values(), handles.keys(), loc="upper left", frameon=False, fontsize=7, title="ours", title_fontsize=7,
        )  # fmt: skip
        last[1].add_artist(first)
        last[1].legend(*theirs, loc="upper right", frameon=False, fontsize=7, title="paper", title_fontsize=7)
        return
    figure.legend(
        [*handles.values(), *theirs[0]], [*handles, *(f"{name}, paper" for name in theirs[1])],
        loc="outside lower center", ncols=4, frameon=False, fontsize=7,
    )  # fmt: skip


def _missing(frame: pd.DataFrame) -> str:
    """A sentence that counts the cells of the grid without a point; empty when there is none."""
    count = int((frame["n"] == 0).sum())
    return f"{count} of {len(frame)} points have no finished run and are not drawn. " if count else ""
