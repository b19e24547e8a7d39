"""A study: a question, the grid of runs that answers it, and what is drawn from their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vitstudy.study.spec import RunSpec, Scale

SCALES: tuple[Scale, ...] = ("smoke", "nano", "mini", "imagenet", "paper")


@dataclass(frozen=True)
class Study:
    """Declared in `experiments/`; see any file there for the form."""

    name: str
    question: str
    paper_items: tuple[str, ...]
    claims: tuple[str, ...]
    metric: str
    """Column of the result table that answers the question, e.g. ``fewshot/5``."""
    factors: Mapping[str, str]
    """Column name -> dotted field of the spec: what is ablated. Seeds are paired across it."""
    build: Callable[[Scale], tuple[RunSpec, ...]]
    figures: tuple[str, ...]

    def runs(self, scale: Scale) -> tuple[RunSpec, ...]:
        """All runs of the study at a scale, without repeats, in the order in which they should start."""
        return tuple(dict.fromkeys(self.build(scale)))
