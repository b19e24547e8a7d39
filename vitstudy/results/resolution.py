"""The resolution study's answer: accuracy by fine-tuning resolution, position embeddings interpolated or drawn anew (3.2).

The paper states the effect (claim C38) and gives no numbers for it, so nothing is printed beside ours.
"""

from __future__ import annotations

import pandas as pd

from vitstudy.results.compare import format_interval, signed_interval
from vitstudy.results.judging import Expected, judge, seeds
from vitstudy.results.section import Report, Section, state_notes
from vitstudy.results.stats import by_seed, count_states, in_cell, paired_difference, t_interval
from vitstudy.results.table import check_seeds
from vitstudy.results.verdicts import Verdict

FACTORS: tuple[str, str] = ("image_size", "posemb_start")
STARTS: tuple[str, str] = ("interpolate", "reset")
MUST_AGREE: tuple[str, ...] = ("model", "source", "upstream", "upstream_image_size", "precision")
"""What finished fine-tuning runs must share to be compared."""

_COLUMNS = (
    "image_size", "ratio", "posemb_start", "mean", "half", "n",
    "to_pretraining", "to_pretraining_half", "to_pretraining_n", "to_reset", "to_reset_half", "to_reset_n", "planned", "done",
)  # fmt: skip


def resolution(table: pd.DataFrame, metric: str, scale: str) -> Report:
    """Accuracy by resolution. Raises ValueError for a metric that no fine-tuning has, or seeds that are not independent."""
    check_seeds(table)
    frame, rows = resolution_frame(table, metric), []
    for row in frame.to_dict("records"):
        gaps = [
            signed_interval(row[name], row[f"{name}_half"]) if planned else ""
            for name, planned in (
                ("to_pretraining", row["ratio"] != 1),
                ("to_reset", row["posemb_start"] == "interpolate"),
            )
        ]
        size = f"{row['image_size']} px ({row['ratio']:.3g}x)"
        rows.append(
            (size, row["posemb_start"], format_interval(row["mean"], row["half"], row["n"]), str(row["n"]), *gaps)
        )
    headers = ("fine-tuned at", "position embeddings", "ours %", "n", "to 1x", "to reset")
    title = f"Section 3.2 at scale {scale}, {metric}: {describe(table)}"
    notes = (
        "ours: mean ± 95 % t interval over n seeds; to 1x, to reset: paired by seed",
        "paper: no numbers; it says that a higher resolution helps (3.2, D.10) and interpolates the position embeddings",
        *state_notes(table),
    )
    section = Section("resolution", title, headers, tuple(rows), frame)
    return Report((section,), (verdict_c38(table, metric, scale),), notes)


def resolution_frame(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per resolution and start of the position embeddings, small to large.

    image_size, ratio           of fine-tuning, px; over that of pre-training
    mean, half, n               the metric (fraction), 95 % t interval over seeds
    to_pretraining*             minus the same start at the pre-training resolution, paired: mean, half, n
    to_reset*                   interpolate minus reset at the same resolution, paired
    planned, done               runs
    """
    tuned, rows = _tuned(table), []
    base = base_size(tuned)
    for size in sizes(tuned):
        for start in STARTS:
            mask = in_cell(tuned, FACTORS, (size, start))
            if not mask.any():
                continue
            counts = count_states(tuned[mask])
            row = {
                "image_size": size,
                "ratio": size / base,
                "posemb_start": start,
                **_cell(tuned, metric, (size, start)),
            }
            other = paired_difference(tuned, metric, FACTORS, (size, start), (base, start))
            row |= {f"to_pretraining{end}": value for end, value in zip(("", "_half", "_n"), other, strict=True)}
            gap = paired_difference(tuned, metric, FACTORS, (size, start), (size, "reset"))
            row |= {f"to_reset{end}": value for end, value in zip(("", "_half", "_n"), gap, strict=True)}
            rows.append(row | {"planned": counts["planned"], "done": counts["done"]})
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def verdict_c38(table: pd.DataFrame, metric: str, scale: str) -> Verdict:
    """C38 (3.2, D.10): fine-tuning at a higher resolution helps; that needs 2-D interpolation of the position embeddings.

    Over differences paired by seed, with h each resolution above that of pre-training:

    expected  (a) interpolate at every h above interpolate at 1x: higher helps
              (b) interpolate above reset at every h: without interpolation something is lost
    reproduced, contradicted, not separable: as in `judging.judge`, over (a) and (b) together
    not comparable  no resolution above 1x, no reset runs, an empty cell, or model, data or precision are mixed

    At 1x there is nothing to interpolate, so interpolate - reset there says what the learned embeddings are worth at all; it is
    in the table and no part of the claim.
    """
    tuned = _tuned(table)
    context = f"{metric}, {scale} scale" + (f", {describe(table)}" if len(tuned) else "")
    problem = _problem(tuned)
    if problem:
        return Verdict("C38", "not comparable", f"{problem}; {context}.")
    base = base_size(tuned)
    higher = [size for size in sizes(tuned) if size > base]
    expected = [_gap(tuned, metric, (size, "interpolate"), (base, "interpolate")) for size in higher]
    expected += [_gap(tuned, metric, (size, "interpolate"), (size, "reset")) for size in higher]
    word, numbers = judge(expected)
    count = "" if word == "not comparable" else f", {seeds(expected)}"
    return Verdict("C38", word, f"{numbers}; paper: stated without numbers; {context}{count}.")


def sizes(tuned: pd.DataFrame) -> list[int]:
    """Resolutions of fine-tuning, px, ascending."""
    return sorted(int(size) for size in tuned["image_size"].unique())


def base_size(tuned: pd.DataFrame) -> int:
    """The resolution of pre-training, px; the smallest of fine-tuning when there is none."""
    known = tuned["upstream_image_size"].dropna()
    return int(known.iloc[0]) if len(known) else min(sizes(tuned), default=0)


def describe(table: pd.DataFrame) -> str:
    """``ViT-n/4 pre-trained on fashion-mnist at 16 px, fine-tuned on fashion-mnist``"""
    tuned = _tuned(table)
    if tuned.empty:
        return "no fine-tuning in the grid"
    model, upstream, source = ("/".join(sorted(tuned[name].unique())) for name in ("model", "upstream", "source"))
    return f"{model} pre-trained on {upstream} at {base_size(tuned)} px, fine-tuned on {source}"


def _tuned(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["stage"] == "finetune"]


def _cell(tuned: pd.DataFrame, metric: str, cell: tuple[int, str]) -> dict[str, float]:
    return t_interval(by_seed(tuned, metric, FACTORS, cell))._asdict()


def _gap(tuned: pd.DataFrame, metric: str, a: tuple[int, str], b: tuple[int, str]) -> Expected:
    difference = by_seed(tuned, metric, FACTORS, a) - by_seed(tuned, metric, FACTORS, b)
    return Expected(f"{a[1]} at {a[0]} px minus {b[1]} at {b[0]} px", difference.dropna(), 1)


def _problem(tuned: pd.DataFrame) -> str:
    done = tuned[tuned["state"] == "done"]
    if done.empty:
        return "no finished fine-tuning"
    for name in MUST_AGREE:
        found = sorted(str(value) for value in done[name].dropna().unique())
        if len(found) > 1:
            return f"mixed {name}: {', '.join(found)}"
    if sizes(tuned)[-1] <= base_size(tuned):
        return f"no fine-tuning above the {base_size(tuned)} px of pre-training"
    return "" if (tuned["posemb_start"] == "reset").any() else "no fine-tuning with position embeddings drawn anew"
