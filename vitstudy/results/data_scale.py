"""The data_scale study's answer: few-shot accuracy by pre-training set (Figure 4), fine-tuned accuracy (Figure 3, Table 5).

The published values stand in tables of their own: other data, other models, so no column of ours has a twin.
"""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

from vitstudy.results.compare import format_interval, signed_interval
from vitstudy.results.data_scale_claims import images_seen, verdicts
from vitstudy.results.data_scale_published import SETS
from vitstudy.results.paper import figure4, table5
from vitstudy.results.pretraining import (
    Accuracies,
    PretrainingSet,
    fine_tuned,
    flop_pairs,
    plain_pretraining,
    targets,
    upstreams,
)
from vitstudy.results.section import Report, Section, state_notes
from vitstudy.results.stats import t_interval
from vitstudy.results.table import check_seeds, metric_columns

_FEWSHOT = re.compile(r"fewshot/\d+/(?!std_over_draws)[^/]+")


def data_scale(table: pd.DataFrame, metric: str, scale: str) -> Report:
    """Figures 3, 4 and Table 5. Raises ValueError for a metric that no pre-training has, or seeds that are not independent."""
    check_seeds(table)
    sections = [fewshot_section(table, metric, scale)]
    if targets(table, metric):
        sections.append(table5_section(table, metric, scale))
    return Report((*sections, *_published_sections()), verdicts(table, metric, scale), _notes(table))


def measures(table: pd.DataFrame, metric: str) -> list[str]:
    """The study's metric, then the few-shot accuracies on other data sets."""
    return [metric, *(name for name in metric_columns(table) if _FEWSHOT.fullmatch(name) and name != metric)]


def fewshot_frame(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Figure 4's lines: a row per measure, pre-training set and model that the grid has.

    measure, upstream, upstream_images, upstream_classes, upstream_instances, family, model
    mean, half, n               the measure (fraction 0..1), 95 % t interval over seeds
    partner, difference*        of a ViT: the BiT ResNet of like FLOPs, and the ViT minus it, paired: mean, half, n
    """
    rows = []
    for name in measures(table, metric):
        for lines in upstreams(plain_pretraining(table, name)):
            partners = {vit.name: resnet.name for vit, resnet in flop_pairs(lines)}
            rows += [{"measure": name, **row} for row in _cells(lines, partners)]
    return pd.DataFrame(rows, columns=["measure", *_CELL_COLUMNS])


def table5_frame(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Figure 3's points and Table 5's cells: as `fewshot_frame`, with `target` for `measure`; accuracy after fine-tuning."""
    rows = []
    for target in targets(table, metric):
        tuned = fine_tuned(table, target)
        partners = {vit.name: resnet.name for vit, resnet in flop_pairs(tuned)}
        rows += [{"target": target, **row} for row in _cells(tuned, partners)]
    return pd.DataFrame(rows, columns=["target", *_CELL_COLUMNS])


_CELL_COLUMNS = (
    "upstream", "upstream_images", "upstream_classes", "upstream_instances", "family", "model", "mean", "half", "n",
    "partner", "difference", "difference_half", "difference_n",
)  # fmt: skip


def _cells(given: Accuracies, partners: dict[str, str]) -> list[dict[str, Any]]:
    rows = []
    for over in given.sets:
        for model in given.models:
            if not given.planned(model.name, over):
                continue
            values: dict[str, Any] = dict(zip(_CELL_COLUMNS, (*over, model.family, model.name), strict=False))
            values |= t_interval(given.values(model.name, over))._asdict()
            partner = partners.get(model.name)
            gap = t_interval(given.difference(model.name, partner, over) if partner else ())
            rows.append(
                values
                | {"partner": partner, "difference": gap.mean, "difference_half": gap.half, "difference_n": gap.n}
            )
    return rows


def fewshot_section(table: pd.DataFrame, metric: str, scale: str) -> Section:
    """A row per measure and pre-training set; a column per model and per pair."""
    frame, rows = fewshot_frame(table, metric), []
    models = list(dict.fromkeys(m.name for m in plain_pretraining(table, metric).models))
    pairs = list(
        dict.fromkeys(frame.loc[frame["partner"].notna(), ["model", "partner"]].itertuples(index=False, name=None))
    )
    for name in measures(table, metric):
        for lines in upstreams(plain_pretraining(table, name)):
            for over in lines.sets:
                cells = [_shown(lines, model, over) for model in models]
                gaps = [
                    _gap(lines, pair, over) if all(lines.planned(each, over) for each in pair) else "" for pair in pairs
                ]
                rows.append((name, over.label, *cells, *gaps))
    headers = ("accuracy %", "pre-trained on", *models, *(f"{a} − {b}" for a, b in pairs))
    title = f"Figure 4 at scale {scale}: frozen features by pre-training set, the same hyper-parameters for all sizes"
    return Section("fewshot", title, headers, tuple(rows), frame)


def table5_section(table: pd.DataFrame, metric: str, scale: str) -> Section:
    """A row per target and model, a column per pre-training set."""
    frame, rows = table5_frame(table, metric), []
    found = {target: fine_tuned(table, target) for target in targets(table, metric)}
    sets = list(dict.fromkeys(over for tuned in found.values() for over in tuned.sets))
    for target, tuned in found.items():
        rows += [(target, model.name, *(_shown(tuned, model.name, over) for over in sets)) for model in tuned.models]
    headers = ("target", "model", *(over.label for over in sets))
    title = f"Table 5 and Figure 3 at scale {scale}: test accuracy (%) after fine-tuning, by pre-training set"
    return Section("table5", title, headers, tuple(rows), frame)


def _shown(given: Accuracies, model: str, over: PretrainingSet) -> str:
    if not given.planned(model, over):
        return ""
    interval = t_interval(given.values(model, over))
    fewer = 0 < interval.n < given.rows["seed"].nunique()
    return format_interval(*interval) + (f" (n {interval.n})" if fewer else "")


def _gap(given: Accuracies, pair: tuple[str, str], over: PretrainingSet) -> str:
    gap = t_interval(given.difference(*pair, over))
    return signed_interval(gap.mean, gap.half)


def _published_sections() -> list[Section]:
    """Figure 4 and Table 5 of the paper."""
    lines, cells = figure4(), table5()
    wide = lines.pivot(index="images", columns="model", values="paper")[list(dict.fromkeys(lines["model"]))]
    rows = tuple(
        (f"JFT-300M {images / 1e6:.0f}M", *(f"{100 * v:.1f}" for v in row))
        for images, row in zip(wide.index, wide.to_numpy(), strict=True)
    )
    title = "Figure 4, paper: 5-shot ImageNet, % (one run each)"
    figure = Section("paper_figure4", title, ("pre-trained on", *wide.columns), rows, lines)
    wide = cells.pivot(index=["target", "model"], columns="pretraining", values="paper")
    order = list(dict.fromkeys(cells[["target", "model"]].itertuples(index=False, name=None)))
    rows = tuple((*key, *(_percent(wide.loc[key, name]) for name in SETS)) for key in order)
    title = "Table 5, paper: top-1 after fine-tuning at 384 px, % (one run each)"
    return [figure, Section("paper_table5", title, ("target", "model", *SETS), rows, cells)]


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f}"


def _notes(table: pd.DataFrame) -> tuple[str, ...]:
    seen = images_seen(table)
    notes = [
        "ours: mean ± 95 % t interval over seeds (n where some are missing); A − B: like FLOPs, paired by seed; –: no finished run",
        "sets: images (fractals: classes × instances); smallest, middle, largest stand for ImageNet, ImageNet-21k, JFT-300M",
    ]
    if not math.isnan(seen):
        notes.append(f"every pre-training sees {seen:,.0f} images, repeats counted: of a larger set not all is seen")
    if len(table[table["stage"] == "pretrain"]) > len(plain_pretraining(table, "").rows):
        notes.append("fine-tuning from the smallest set: regularised or not, whichever is better on minival (Figure 3)")
    return (*notes, *state_notes(table))
