"""The final evaluation of a run: the test sets are opened here, once, and nowhere else; a tuning run opens none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitstudy.data.dataset import RunData, trained_on
from vitstudy.data.overlap import overlap
from vitstudy.data.sources import ImageSet, load
from vitstudy.evaluation import fewshot
from vitstudy.evaluation.accuracy import Encoded, encode
from vitstudy.models.factory import Network
from vitstudy.study.spec import RunSpec


@dataclass(frozen=True)
class Evaluation:
    """`metrics`: fractions by name; `predictions`: int32 arrays (n,) by name, of the run's own test set.

    `overlap`: test set -> images of it that are, pixel for pixel, among those that the run or its pre-training was trained
    on, whichever has more; None: not comparable (generated images, or no size in common).
    """

    metrics: dict[str, float]
    predictions: dict[str, NDArray[np.int32]]
    overlap: dict[str, int | None]


def evaluate(net: Network, spec: RunSpec, data: RunData) -> Evaluation:
    """minival/acc where there is one; but for tuning runs test/acc, and fewshot/k or fewshot/k/source."""
    kind, size = spec.eval.fewshot_feature, spec.eval.batch_size
    metrics: dict[str, float] = {}
    if len(data.minival):
        metrics["minival/acc"] = encode(net, data.minival, kind, size).top1()
    if spec.stage == "tune":
        return Evaluation(metrics, {}, {})
    test = encode(net, data.test(), kind, size)
    metrics["test/acc"] = test.top1()
    for name, support, encoded in _fewshot_sets(net, spec, test):
        for shots in spec.eval.fewshot:
            metrics |= _fewshot(net, spec, shots, f"fewshot/{shots}{name}", support, encoded)
    predictions = {"predicted": test.predicted.astype(np.int32), "label": test.labels.astype(np.int32)}
    return Evaluation(metrics, predictions, _overlaps(spec))


def _overlaps(spec: RunSpec) -> dict[str, int | None]:
    opened = ({spec.data.source} if spec.data.fractals is None else set()) | set(spec.eval.fewshot_sources)
    found: dict[str, int | None] = {}
    for source in sorted(opened):
        test = load(source, spec.data.image_size)[1]
        stored = (data for data in dict.fromkeys((spec.data, spec.upstream.data)) if data.fractals is None)
        counts = [overlap(trained_on(data), test) for data in stored]
        found[source] = max((count for count in counts if count is not None), default=None)
    return found


def _fewshot_sets(net: Network, spec: RunSpec, test: Encoded) -> Iterator[tuple[str, ImageSet, Encoded]]:
    """(ending of the metric's name, images to draw shots from, encoded test set)."""
    if not spec.eval.fewshot:
        return
    if not spec.eval.fewshot_sources:
        yield "", trained_on(spec.data), test
    for source in spec.eval.fewshot_sources:
        train, held_out = load(source, spec.data.image_size)
        same = source == spec.data.source and spec.data.test_size is None
        encoded = test if same else encode(net, held_out, spec.eval.fewshot_feature, spec.eval.batch_size)
        yield f"/{source}", train, encoded


def _fewshot(net: Network, spec: RunSpec, shots: int, name: str, support: ImageSet, test: Encoded) -> dict[str, float]:
    """Mean and standard deviation over random draws of the shots: the draws are the same for every run."""
    draws = [fewshot.draw_shots(support.labels, shots, draw) for draw in range(spec.eval.fewshot_draws)]
    drawn = encode(net, support.take(np.concatenate(draws)), spec.eval.fewshot_feature, spec.eval.batch_size)
    scores = []
    for part in np.split(np.arange(len(drawn.labels)), len(draws)):
        x, y = drawn.features[part], drawn.labels[part]
        scores.append(fewshot.accuracy(x, y, test.features, test.labels, spec.eval.fewshot_l2))
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return {name: float(np.mean(scores)), f"{name}/std_over_draws": spread}
