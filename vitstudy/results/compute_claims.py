"""Verdicts on the compute study (Figure 5, Table 6): C15, C16, C17, one rule each, stated in its docstring.

All use accuracy after transfer, the mean over the targets, and the laws of `frontier`, one for each family and seed.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from vitstudy.results.frontier import SMALLEST_ERROR, Frontier, Ratio, compute_ratio
from vitstudy.results.stats import LEVEL, Interval, t_interval
from vitstudy.results.transfers import Transfers, published_frontiers
from vitstudy.results.verdicts import Verdict, Word

NAMES = {"vit": "ViT", "resnet": "ResNet", "hybrid": "hybrid"}
MUST_AGREE: tuple[str, ...] = ("upstream", "upstream_images", "upstream_image_size", "precision")
"""What the finished transfers and their pre-trainings must share."""


def verdicts(table: pd.DataFrame, given: Transfers, scale: str) -> tuple[Verdict, ...]:
    """C15, C16, C17, or why the runs cannot answer them."""
    problem = _mixed(table)
    context = f"mean of {', '.join(given.targets)}, {scale} scale" if given.targets else f"{scale} scale"
    judged = (
        (("C15", ("vit", "resnet")), _c15),
        (("C16", ("vit", "hybrid")), _c16),
        (("C17", ("vit",)), _c17),
    )
    found = []
    for (claim, families), rule in judged:
        laws = {name: given.frontier(name) for name in families}
        lacking = [NAMES[name] for name, law in laws.items() if law is None]
        why = problem or (f"no seed finished with two budgets or more of {' and '.join(lacking)}" if lacking else "")
        known = {name: law for name, law in laws.items() if law is not None}
        judgement: tuple[Word, str] = ("not comparable", why) if why else rule(given, known)
        found.append(Verdict(claim, judgement[0], f"{judgement[1]}; {context}."))
    return tuple(found)


def _mixed(table: pd.DataFrame) -> str:
    done = table[(table["state"] == "done") & (table["stage"] != "tune")]
    for name in MUST_AGREE:
        values = sorted(str(value) for value in done[name].unique()) if name in done else []
        if len(values) > 1:
            return f"mixed {name}: {', '.join(values)}"
    return ""


def _c15(given: Transfers, laws: dict[str, Frontier]) -> tuple[Word, str]:
    """C15: for equal accuracy a ViT needs 2 to 4 times less pre-training compute than a ResNet.

    With r = compute of the ResNet over that of the ViT at the middle of the accuracies that both reach (`compute_ratio`):

    reproduced      the 95 % interval of r lies above 1 and reaches 2 (the reason says whether it overlaps 2 to 4), or the
                    two share no accuracy and the ViT's worst model is better than the ResNet's best for no more compute
    contradicted    the interval lies below 1, or the same with the families exchanged
    not separable   the interval holds 1, or lies between 1 and 2 (less, but not by as much), or has no two ends (one seed;
                    compute hardly moves accuracy)
    not comparable  a family lacks runs, or neither is ahead on both counts and they share no accuracy
    """
    ratio = compute_ratio(laws["resnet"], laws["vit"])
    if ratio is None:
        return _without_common_accuracy(given, laws)
    paper = compute_ratio(published_frontiers()["resnet"], published_frontiers()["vit"])
    return _c15_word(ratio), f"{_c15_numbers(ratio)}; paper's own points: {_ends(paper)}" if paper else _c15_numbers(
        ratio
    )


def _c15_word(ratio: Ratio) -> Word:
    if math.isnan(ratio.low):
        return "not separable"
    return "contradicted" if ratio.high < 1 else "reproduced" if ratio.low > 1 and ratio.high >= 2 else "not separable"


def _c15_numbers(ratio: Ratio) -> str:
    if math.isnan(ratio.low):
        why = "one seed gives no interval" if ratio.n < 2 else f"the interval has no ends at n = {ratio.n} seeds"
        return f"ResNet's compute over ViT's at equal accuracy {_ends(ratio)}; {why}"
    overlap = "overlaps" if ratio.low <= 4 and ratio.high >= 2 else "does not overlap"
    return (
        f"ResNet's compute over ViT's at equal accuracy {_ends(ratio)}, 95 % interval {ratio.low:.2f} to {ratio.high:.2f} "
        f"(n = {ratio.n} seeds), which {overlap} the paper's 2 to 4"
    )


def _ends(ratio: Ratio) -> str:
    (worst, at_worst), (best, at_best) = ratio.at_ends
    return (
        f"{ratio.value:.2g} at {100 * ratio.accuracy:.1f} % ({at_worst:.2g} at {100 * worst:.1f} %, "
        f"{at_best:.2g} at {100 * best:.1f} %)"
    )


def _without_common_accuracy(given: Transfers, laws: dict[str, Frontier]) -> tuple[Word, str]:
    falling = [NAMES[name] for name, law in laws.items() if law.fits["b"].mean() <= 0]
    for ahead, behind, word in (("vit", "resnet", "reproduced"), ("resnet", "vit", "contradicted")):
        worst, best = _extreme(given, ahead, worst=True), _extreme(given, behind, worst=False)
        gap = t_interval((given.accuracy(ahead)[worst] - given.accuracy(behind)[best]).dropna())
        cheaper = given.compute(ahead)[worst] <= given.compute(behind)[best]
        if cheaper and gap.n > 1 and gap.low > 0:
            names = f"even {worst[0]} ({worst[1]} steps) is above {best[0]} ({best[1]} steps), by {_points(gap)}"
            return _as_word(word), f"no accuracy is reached by both families: {names}, and costs no more compute"
    if falling:
        return "not separable", f"the accuracy of {' and '.join(falling)} does not rise with compute in these runs"
    if laws["vit"].fits.index.intersection(laws["resnet"].fits.index).empty:
        return "not comparable", "no seed has both families complete"
    return "not comparable", "no accuracy is reached by both families' laws within their budgets"


def _as_word(word: str) -> Word:
    return "reproduced" if word == "reproduced" else "contradicted"


def _extreme(given: Transfers, family: str, worst: bool) -> tuple[str, int]:
    means = given.accuracy(family).mean()
    return means.idxmin() if worst else means.idxmax()  # type: ignore[return-value]


def _c16(given: Transfers, laws: dict[str, Frontier]) -> tuple[Word, str]:
    """C16: hybrids beat ViTs at small budgets, and the gap is gone at the largest.

    Gap = the hybrid's accuracy minus the ViT's by their laws, per seed, at the smallest (s) and the largest (l) budget
    that both families cover:

    reproduced      the gap at s is above 0, it is smaller at l than at s (both 95 % intervals exclude 0), and the gap at
                    l is not separable from 0 or below it
    contradicted    the gap at s is below 0, or that at l above 0, or it grows (each at level 1 - 0.05/3, as any will do)
    not separable   none of these, or one seed
    not comparable  a family lacks runs, or the budgets of the two do not overlap
    """
    vit, hybrid = laws["vit"], laws["hybrid"]
    low, high = max(vit.low, hybrid.low), min(vit.high, hybrid.high)
    if low >= high:
        return "not comparable", "the budgets of ViT and hybrid do not overlap"
    gaps = [(hybrid.accuracy(at) - vit.accuracy(at)).dropna() for at in (low, high)]
    small, large, shrinkage = (t_interval(values) for values in (*gaps, gaps[0] - gaps[1]))
    if small.n == 0:
        return "not comparable", "no seed has both families complete"
    numbers = (
        f"hybrid minus ViT {_points(small)} at {_exaflops(low)} and {_points(large)} at {_exaflops(high)} "
        f"(n = {small.n} seeds); paper: ahead at small budgets, equal at the largest"
    )
    if small.n == 1:
        return "not separable", f"one seed gives no interval; {numbers}"
    strict = [t_interval(values, 1 - (1 - LEVEL) / 3) for values in (*gaps, gaps[0] - gaps[1])]
    if small.low > 0 and shrinkage.low > 0 and large.low <= 0:
        return "reproduced", numbers
    if strict[0].high < 0 or strict[1].low > 0 or strict[2].high < 0:
        return "contradicted", numbers
    return "not separable", numbers


def _c17(given: Transfers, laws: dict[str, Frontier]) -> tuple[Word, str]:
    """C17: no saturation: the ViT's accuracy still rises at its largest budgets.

    Slope = fall of ln(error) per doubling of compute, by least squares per seed, over the dearer half of the ViT's cells
    (u) and the cheaper half (d):

    contradicted    u is below 0, or below a tenth of d (each at level 1 - 0.05/2): the curve has gone flat
    reproduced      otherwise, if u is above 0, its 95 % interval excluding 0
    not separable   neither, or one seed
    not comparable  fewer than four cells, or a half without two different budgets
    """
    accuracy, compute = given.accuracy("vit").dropna(), given.compute("vit")
    cells = sorted(accuracy.columns, key=lambda cell: float(compute[cell]))
    half = len(cells) // 2
    halves = (cells[:half], cells[half:])
    if any(len({float(compute[cell]) for cell in part}) < 2 for part in halves):
        return "not comparable", "fewer than four budgets of ViT are finished"
    cheap, dear = (_slope(accuracy[part], compute) for part in halves)
    upper = t_interval(dear)
    rise = t_interval(accuracy[cells[-1]] - accuracy[cells[half]])
    numbers = (
        f"over its {len(cells) - half} dearest models the ViT's error falls by {100 * upper.mean:.1f}"
        f"{'' if math.isnan(upper.half) else f' ± {100 * upper.half:.1f}'} % per doubling of compute (cheapest {half}: "
        f"{100 * float(np.mean(cheap)):.1f} %), accuracy {_points(rise)} from first to last of them (n = {upper.n} seeds)"
    )
    if upper.n < 2:
        return "not separable", f"one seed gives no interval; {numbers}"
    strict = 1 - (1 - LEVEL) / 2
    if t_interval(dear, strict).high < 0 or t_interval(dear - 0.1 * cheap, strict).high < 0:
        return "contradicted", numbers
    return ("reproduced" if upper.low > 0 else "not separable"), numbers


def _slope(accuracy: pd.DataFrame, compute: pd.Series) -> np.ndarray:
    """Fall of ln(error) per doubling of compute, a number per seed."""
    x = np.log2([float(compute[cell]) for cell in accuracy.columns])
    y = np.log(np.maximum(1 - accuracy.to_numpy(dtype=float), SMALLEST_ERROR))
    centred = x - x.mean()
    return np.asarray(-(y @ centred) / (centred @ centred))


def _points(interval: Interval) -> str:
    """``+1.2 ± 0.3 points``."""
    half = "" if math.isnan(interval.half) else f" ± {100 * interval.half:.1f}"
    return f"{100 * interval.mean:+.1f}{half} points"


def _exaflops(log_flops: float) -> str:
    return f"{math.exp(log_flops) / 1e18:.2g} exaFLOPs"
