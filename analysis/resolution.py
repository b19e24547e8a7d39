"""Accuracy by fine-tuning resolution (section 3.2, claim C38), position embeddings interpolated or drawn anew."""

from __future__ import annotations

import seaborn as sns
from matplotlib import pyplot as plt

from analysis.drawing import Drawing, Results, describe, metric_name
from analysis.style import FAMILY_COLOURS, OURS, WIDTH
from vitstudy.results.resolution import resolution_frame

LINES = {
    "interpolate": ("interpolated (2-D)", "o", "-", OURS),
    "reset": ("drawn anew", "s", "--", FAMILY_COLOURS["resnet"]),
}


def draw(results: Results) -> Drawing | None:
    """Two lines with 95 % t intervals. None before a fine-tuning has finished."""
    frame = resolution_frame(results.table, results.metric)
    drawn = frame[frame["n"] > 0]
    if drawn.empty:
        return None
    figure, axis = plt.subplots(figsize=(0.7 * WIDTH, 3.2), layout="constrained")
    for shift, (start, (label, marker, line, colour)) in zip((-1, 1), LINES.items(), strict=True):
        points = drawn[drawn["posemb_start"] == start]
        nudge = 0.004 * frame["image_size"].max() * shift  # intervals that overlap stay readable
        axis.errorbar(
            points["image_size"] + nudge, 100 * points["mean"], yerr=100 * points["half"], color=colour,
            marker=marker, linestyle=line, capsize=3, label=label,
        )  # fmt: skip
    ticks = frame.drop_duplicates("image_size")
    axis.set_xticks(
        ticks["image_size"],
        [f"{size} px\n{ratio:.3g}×" for size, ratio in zip(ticks["image_size"], ticks["ratio"], strict=True)],
    )
    axis.set(xlabel="fine-tuning resolution (× that of pre-training)", ylabel=f"{metric_name(results.metric)}, %")
    sns.despine(figure)
    axis.legend(title="position embeddings", frameon=False)
    caption = (
        "Section 3.2: accuracy after fine-tuning at the resolution of pre-training and above it, position embeddings "
        "interpolated in 2-D or drawn anew; mean and 95 % t interval over seeds. The paper gives no numbers for this. "
        f"{_missing(len(frame) - len(drawn), len(frame))}{describe(results)}"
    )
    columns = ["image_size", "ratio", "posemb_start", "mean", "half", "n"]
    return Drawing(figure, drawn[columns], caption)


def _missing(gaps: int, points: int) -> str:
    return f"{gaps} of {points} points have no finished run and are not drawn. " if gaps else ""
