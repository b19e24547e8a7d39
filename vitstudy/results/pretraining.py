"""Accuracy by model and pre-training set, from the result table: the lines of Figure 4, the points of Figure 3.

Models run from small to large within a family; a ViT is paired with the ResNet of nearly equal FLOPs (C47).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from vitstudy.results.stats import by_cell

FAMILIES: dict[str, str] = {"vit": "ViT", "resnet": "BiT", "hybrid": "hybrid"}
"""Family -> its name in the paper, in the paper's order."""

FACTORS: tuple[str, ...] = ("model", "upstream", "upstream_images", "upstream_classes")
"""What tells the cells of one stage and target apart."""

PAIR_RATIO = 1.5
"""Largest ratio of FLOPs within a pair. The paper's own pairs: ViT-B/32 and R50x1 1.1, ViT-L/16 and R152x2 1.4 (Table 6)."""


class PretrainingSet(NamedTuple):
    """`images` None: all that minival leaves; `classes`, `instances` None: not fractals."""

    source: str
    images: float | None
    classes: float | None
    instances: float | None

    @property
    def label(self) -> str:
        """``fractals 1,000 (25 × 40)``: images (classes × instances)."""
        size = "all" if self.images is None else f"{self.images:,.0f}"
        shape = (
            "" if self.classes is None or self.instances is None else f" ({self.classes:,.0f} × {self.instances:,.0f})"
        )
        return f"{self.source} {size}{shape}"


class Model(NamedTuple):
    """`flops` of one image's forward pass; missing costs are NaN: no run of it has finished."""

    name: str
    family: str
    params: float
    flops: float

    @property
    def patch(self) -> str:
        """``16`` of ViT-B/16; empty when the name has none."""
        return self.name.rpartition("/")[2] if "/" in self.name else ""


@dataclass(frozen=True)
class Accuracies:
    """`rows`: those of one stage (and target); `metric`: the column that is compared."""

    rows: pd.DataFrame
    metric: str

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """Families in the paper's order, small to large; in the order of the grid until every size is known."""
        found = [
            Model(str(name), str(family), _mean(group, "cost/params"), _mean(group, "cost/forward_flops"))
            for (name, family), group in self.rows.groupby(["model", "family"], sort=False)
        ]
        known = not any(math.isnan(model.params) for model in found)
        order = list(FAMILIES)
        return tuple(sorted(found, key=lambda m: (order.index(m.family), m.params if known else 0)))

    @cached_property
    def sets(self) -> tuple[PretrainingSet, ...]:
        """Small to large."""
        columns = ["upstream", "upstream_images", "upstream_classes", "upstream_instances"]
        found = self.rows[columns].drop_duplicates().astype(object)
        unique = [PretrainingSet(*row) for row in found.where(found.notna(), None).itertuples(index=False, name=None)]
        return tuple(sorted(unique, key=lambda each: math.inf if each.images is None else each.images))

    @cached_property
    def _cells(self) -> dict[tuple[Any, ...], pd.Series]:
        return by_cell(self.rows, self.metric, FACTORS)

    def planned(self, model: str, over: PretrainingSet) -> bool:
        """Whether the grid has the cell at all."""
        return (model, *over[:3]) in self._cells

    def values(self, model: str, over: PretrainingSet) -> pd.Series:
        """The finished values of a cell (fractions), by seed."""
        return self._cells.get((model, *over[:3]), pd.Series(dtype=float))

    def difference(self, a: str, b: str, over: PretrainingSet) -> pd.Series:
        """Model a minus model b, for the seeds that finished in both."""
        return (self.values(a, over) - self.values(b, over)).dropna()

    def gain(self, model: str, low: PretrainingSet, high: PretrainingSet) -> pd.Series:
        """What the larger set brings to a model, by seed."""
        return (self.values(model, high) - self.values(model, low)).dropna()

    def of(self, family: str) -> tuple[Model, ...]:
        """The family's models, small to large."""
        return tuple(model for model in self.models if model.family == family)

    def unfinished(self, *families: str) -> list[str]:
        """Models of these families without any finished run."""
        return [model.name for model in self.models if model.family in families and math.isnan(model.flops)]


def plain_pretraining(table: pd.DataFrame, metric: str) -> Accuracies:
    """The pre-training runs with the least regularisation, one setting for all sizes, as Figure 4 asks (4.3)."""
    rows = table[table["stage"] == "pretrain"]
    strength = rows[["weight_decay", "dropout", "label_smoothing"]].astype(float).fillna(0.0).apply(tuple, axis=1)
    if len(rows):
        rows = rows[strength == strength.groupby(rows["model"]).transform("min")]
    return Accuracies(rows, metric)


def upstreams(pretraining: Accuracies) -> list[Accuracies]:
    """One for each upstream source: the one with the most sizes first, of equal ones that with the most images."""
    found = [Accuracies(rows, pretraining.metric) for _, rows in pretraining.rows.groupby("upstream", sort=False)]
    return sorted(found, key=lambda each: (-len(each.sets), -(each.sets[-1].images or math.inf)))


def fine_tuned(table: pd.DataFrame, target: str, metric: str = "test/acc") -> Accuracies:
    """The final transfers to one target."""
    return Accuracies(table[(table["stage"] == "finetune") & (table["source"] == target)], metric)


def targets(table: pd.DataFrame, metric: str) -> list[str]:
    """Targets of the fine-tuning, the main one first: that of the study's few-shot metric, else the grid's first."""
    found = list(dict.fromkeys(table.loc[table["stage"] == "finetune", "source"]))
    main = metric.rpartition("/")[2] if metric.startswith("fewshot/") else ""
    return sorted(found, key=lambda name: name != main)


def same_patch_pairs(models: Sequence[Model]) -> list[tuple[Model, Model]]:
    """(small, large) ViTs of one patch size: the paper's Base and Large (C6-C8). Smallest and largest where there are more."""
    patches = dict.fromkeys(model.patch for model in models)
    groups = [[model for model in models if model.patch == patch] for patch in patches]
    return [(group[0], group[-1]) for group in groups if len(group) > 1]


def flop_pairs(accuracies: Accuracies) -> list[tuple[Model, Model]]:
    """(ViT, ResNet) of FLOPs within `PAIR_RATIO`, each in at most one pair, nearest first; in the order of the ViTs."""
    distances = sorted(
        (abs(math.log(vit.flops / resnet.flops)), vit, resnet)
        for vit in accuracies.of("vit")
        for resnet in accuracies.of("resnet")
        if not math.isnan(vit.flops) and not math.isnan(resnet.flops)
    )
    pairs: list[tuple[Model, Model]] = []
    for distance, vit, resnet in distances:
        if distance <= math.log(PAIR_RATIO) and all(vit != a and resnet != b for a, b in pairs):
            pairs.append((vit, resnet))
    return sorted(pairs, key=lambda pair: accuracies.models.index(pair[0]))


def _mean(rows: pd.DataFrame, column: str) -> float:
    return float(rows[column].mean()) if column in rows else float("nan")
