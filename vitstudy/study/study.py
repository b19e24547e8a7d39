"""A study: a question, the grid of runs that answers it, and what is drawn from their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vitstudy.study.spec import Scale
from vitstudy.study.timing import Spec

SCALES: tuple[Scale, ...] = ("smoke", "nano", "mini", "imagenet", "paper")


@dataclass(frozen=True)
class Study:
    """Declared in `experiments/`; see any file there for the form."""

    name: str
    question: str
    paper_items: tuple[str, ...]
    claims: tuple[str, ...]
    metrics: Mapping[Scale, str]
    """Column of the result table that answers the question at each scale, e.g. ``fewshot/5``."""
    factors: Mapping[str, str]
    """Column name -> dotted field of the spec: what is ablated. Seeds are paired across it."""
    build: Callable[[Scale, int | None], tuple[Spec, ...]]
    """(scale, seeds or None for as many as the scale declares) -> the runs that answer the question."""
    figures: tuple[str, ...]
    exclusive: bool = False
    """Its runs measure speed: one at a time, with all threads."""

    def metric(self, scale: str) -> str:
        """The entry of `metrics`. Raises KeyError for a scale that is none."""
        return {str(name): metric for name, metric in self.metrics.items()}[scale]

    def runs(self, scale: Scale, seeds: int | None = None) -> tuple[Spec, ...]:
        """All runs at a scale and the runs that they need, without repeats; what is needed stands before what needs it."""
        return with_needs(self.build(scale, seeds))


def with_needs(specs: Iterable[Spec]) -> tuple[Spec, ...]:
    """`specs` and everything they need, without repeats, parents first."""
    found: dict[Spec, None] = {}

    def add(spec: Spec) -> None:
        if spec not in found:
            for need in spec.needs:
                add(need)
            found[spec] = None

    for spec in specs:
        add(spec)
    return tuple(found)
