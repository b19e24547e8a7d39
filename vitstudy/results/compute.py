"""The report of the study `compute` (Figure 5, Table 6): our Table 6, the fitted laws, the paper's Table 6 and its laws."""

from __future__ import annotations

import math

import pandas as pd

from vitstudy.results.compare import format_interval
from vitstudy.results.compute_claims import NAMES, verdicts
from vitstudy.results.frontier import Frontier
from vitstudy.results.paper_scaling import TARGETS, table6
from vitstudy.results.section import Report, Section, state_notes
from vitstudy.results.stats import t_interval
from vitstudy.results.table import check_seeds
from vitstudy.results.transfers import AVERAGE, ORDER, Transfers, published_frontiers, table6_comparison, transfers


def compute(table: pd.DataFrame, metric: str, scale: str) -> Report:
    """Table 6. Raises ValueError for a metric that no run has, or seeds that are not independent."""
    check_seeds(table)
    given = transfers(table, metric)
    sections = (_ours(given, table, scale), _laws(given), _paper())
    notes = (
        f"ours: {metric} of the fine-tuned models, mean ± 95 % t interval over n seeds; average: of a seed with all targets",
        "n *: no other model of the family has a higher average at no more compute",
        "exaFLOPs (10^18, 1 multiply-add = 2, training = 3 x forward) and device-hours are of the pre-training alone",
        "law: error = exp(a) x C^-b through all models of a family, seed by seed; the intervals are over seeds and hold for "
        "these models; scatter: root mean square distance of the models from the law, in ln(error)",
        *_passes(table),
        *state_notes(table),
    )
    return Report(sections, verdicts(table, given, scale), notes)


def _ours(given: Transfers, table: pd.DataFrame, scale: str) -> Section:
    frame = table6_comparison(given)
    columns = (*given.targets, AVERAGE)
    rows = [
        (
            row["model"],
            f"{row['upstream_steps']:,}",
            *(format_interval(row[name], row[f"{name}_half"], row[f"{name}_n"]) for name in columns),
            f"{row[f'{AVERAGE}_n']}{' *' if row['pareto'] else ''}",
            _number(row["exaflops"], "{:.3g}"),
            _number(row["device_hours"], "{:.3g}"),
        )
        for row in frame.to_dict("records")
    ]
    upstream = ", ".join(sorted(str(name) for name in table["upstream"].dropna().unique())) or "no data"
    title = (
        f"Table 6 at scale {scale}: pre-trained on {upstream}, fine-tuned on {', '.join(given.targets) or 'nothing'}"
    )
    headers = ("model", "steps", *(f"{name} %" for name in columns), "n", "exaFLOPs", "device-hours")
    return Section("table6", title, headers, tuple(rows), frame)


def _laws(given: Transfers) -> Section:
    """One row per family: ours and the paper's exponent."""
    published = published_frontiers()
    rows, numbers = [], []
    for family in ORDER:
        law, paper = given.frontier(family), published[family]
        slope = t_interval(law.fits["b"]) if law else t_interval([])
        rows.append(
            (
                NAMES[family],
                format_interval(slope.mean, slope.half, slope.n, percent=False),
                str(slope.n),
                _range(law),
                _number(law.scatter if law else math.nan, "{:.3f}"),
                f"{paper.fits['b'].mean():.3f}",
                _range(paper),
                f"{paper.scatter:.3f}",
            )
        )
        numbers.append(
            {"family": family, "b": slope.mean, "b_half": slope.half, "n": slope.n}
            | {"a": law.fits["a"].mean() if law else math.nan, "scatter": law.scatter if law else math.nan}
            | {"paper_b": paper.fits["b"].mean(), "paper_a": paper.fits["a"].mean(), "paper_scatter": paper.scatter}
        )
    headers = ("family", "b", "n", "exaFLOPs", "scatter", "paper b", "paper exaFLOPs", "paper scatter")
    title = "Laws of Figure 5: error of the average = exp(a) x C^-b, C in FLOPs"
    return Section("laws", title, headers, tuple(rows), pd.DataFrame(numbers))


def _range(law: Frontier | None) -> str:
    if law is None:
        return "–"
    low, high = (math.exp(end) / 1e18 for end in (law.low, law.high))
    return f"{low:.0f} to {high:.0f}" if low >= 10 else f"{low:.2g} to {high:.2g}"


def _paper() -> Section:
    frame = table6()
    frame = frame.assign(exaflops=frame["flops"] / 1e18).drop(columns="flops")
    rows = tuple(
        (
            row["model"],
            str(row["epochs"]),
            *(f"{100 * row[name]:.1f}" for name in (*TARGETS, AVERAGE)),
            f"{row['exaflops']:.0f}",
        )
        for row in frame.to_dict("records")
    )
    headers = ("model", "epochs", *(f"{name} %" for name in (*TARGETS, AVERAGE)), "exaFLOPs")
    return Section("paper", "The paper's Table 6: pre-trained on JFT-300M, one run each", headers, rows, frame)


def _passes(table: pd.DataFrame) -> tuple[str, ...]:
    """C18 assumes that data are not the bottleneck: how often a pre-training saw each image, and whose weights were taken."""
    rows = table[(table["stage"] == "pretrain") & table["upstream_images"].notna()]
    if rows.empty:
        return ()
    seen = rows["steps"] * rows["batch_size"] / rows["upstream_images"].astype(float)
    text = f"{seen.min():.2g}" if seen.min() == seen.max() else f"{seen.min():.2g} to {seen.max():.2g}"
    passes = f"each image of the pre-training was seen {text} times (paper: 7 or 14); C18 (data are no bottleneck) is assumed"
    if "train/best_step" not in rows or rows["train/best_step"].isna().all():
        return (passes,)
    known = rows[rows["train/best_step"].notna()]
    early = int((known["train/best_step"] < known["steps"]).sum())
    return (
        passes,
        f"the weights of {early} of {len(known)} pre-trainings are of an earlier step, the best on minival (as in data_scale; "
        "not in the paper's Figure 5); compute counts all steps",
    )


def _number(value: float, form: str) -> str:
    return "–" if pd.isna(value) else form.format(value)
