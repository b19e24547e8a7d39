"""Verdicts on the timing study (Figure 12): C41, C42, C43, C47, one rule each, stated in its docstring.

Speeds are compared as ln(ratio) per repeat, with t intervals over repeats.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from vitstudy.results.speeds import BATCH, LIKE, SPEED, Pair, measured, middle, pairs, ratio, shared_sizes
from vitstudy.results.stats import LEVEL, Interval, t_interval
from vitstudy.results.verdicts import Verdict, Word

MUST_AGREE: tuple[str, ...] = ("device_name", "precision", "threads")
"""What finished measurements must share to be compared."""

COMPARABLE = 2.0
"""Speeds within this factor are called comparable (ours; the paper's pairs lie between 0.54 and 1.32)."""


def verdicts(table: pd.DataFrame, frame: pd.DataFrame, scale: str) -> tuple[Verdict, ...]:
    """C41, C42, C43, C47, or why the measurements cannot answer them. `frame` is `speeds(table)`."""
    done = table[table["state"] == "done"]
    problem = ""
    for name in MUST_AGREE:
        found = sorted(str(value) for value in done[name].dropna().unique()) if name in done else []
        problem = problem or (f"mixed {name}: {', '.join(found)}" if len(found) > 1 else "")
    devices = sorted(str(name) for name in done["device_name"].dropna().unique()) if "device_name" in done else []
    where = f"{scale} scale, {'/'.join(devices) or 'no device yet'}"
    rules = {"C41": _c41, "C42": _c42, "C43": _c43, "C47": _c47}
    judged = {claim: ("not comparable", problem) if problem else rule(table, frame) for claim, rule in rules.items()}
    return tuple(Verdict(claim, word, f"{reason}; {where}.") for claim, (word, reason) in judged.items())  # type: ignore[arg-type]


def _no_pair() -> tuple[Word, str]:
    return "not comparable", f"no ViT and ResNet whose FLOPs are within a factor of {LIKE:g} were both measured"


def _c41(table: pd.DataFrame, frame: pd.DataFrame) -> tuple[Word, str]:
    """C41: the inference speed of a ViT is comparable to that of a ResNet of like size.

    Over all pairs of like FLOPs and all input sizes that both have:

    reproduced      every 95 % interval of the ratio of speeds lies within 1/2 to 2 (all are needed: no correction)
    contradicted    one lies wholly outside, at level 1 - 0.05/(number of ratios), as any will do
    not separable   neither, or one repeat
    not comparable  no pair of like FLOPs
    """
    ratios = [
        (pair, size, ratio(table, pair, size))
        for pair in pairs(table, frame)
        for size in shared_sizes(table, pair.vit, pair.resnet)
    ]
    ratios = [(pair, size, values) for pair, size, values in ratios if len(values)]
    if not ratios:
        return _no_pair()
    means = [(float(np.exp(values.mean())), pair, size) for pair, size, values in ratios]
    ends = [
        f"{value:.2f} ({pair.vit} over {pair.resnet}, {size} px)" for value, pair, size in (_low(means), _high(means))
    ]
    numbers = f"ratio of speeds {ends[0]} to {ends[1]}, {len(ratios)} ratios; paper: 0.54 to 1.32"
    if min(len(values) for *_, values in ratios) < 2:
        return "not separable", f"one repeat gives no interval; {numbers}"
    limit = math.log(COMPARABLE)
    found = [t_interval(values) for *_, values in ratios]
    strict = [t_interval(values, 1 - (1 - LEVEL) / len(ratios)) for *_, values in ratios]
    if any(each.low > limit or each.high < -limit for each in strict):
        return "contradicted", numbers
    within = all(each.low >= -limit and each.high <= limit for each in found)
    return ("reproduced" if within else "not separable"), numbers


def _low(means: list[tuple[float, Pair, int]]) -> tuple[float, Pair, int]:
    return min(means, key=lambda each: each[0])


def _high(means: list[tuple[float, Pair, int]]) -> tuple[float, Pair, int]:
    return max(means, key=lambda each: each[0])


def _c42(table: pd.DataFrame, frame: pd.DataFrame) -> tuple[Word, str]:
    """C42: the bi-quadratic cost in image size only just starts to show, for the largest model at the largest sizes.

    Slope of ln(speed) over ln(pixels) of the largest ViT between its two largest sizes: -1 if cost grows with the number of
    patches, -2 if with its square (bi-quadratic in the side of the image):

    reproduced      the 95 % interval lies within -2 to -1 and excludes both: it shows, and does not rule yet
    contradicted    it lies wholly at or above -1 (nothing shows) or wholly at or below -2 (it rules)
    not separable   otherwise, or one repeat
    not comparable  no ViT was measured at two sizes
    """
    vits = [
        name for name in frame.loc[frame["family"] == "vit", "model"].unique() if len(shared_sizes(table, name)) > 1
    ]
    if not vits:
        return "not comparable", "no ViT was measured at two input sizes"
    slopes = {name: _slope(table, name) for name in vits}
    resnets = [
        name for name in frame.loc[frame["family"] == "resnet", "model"].unique() if len(shared_sizes(table, name)) > 1
    ]
    largest = vits[-1]
    small, large = shared_sizes(table, largest)[-2:]
    others = ", ".join(f"{name} {_slope(table, name).mean:.2f}" for name in (*vits[:-1], *resnets))
    slope = slopes[largest]
    half = "" if math.isnan(slope.half) else f" ± {slope.half:.2f}"
    numbers = f"slope of {largest} from {small} to {large} px {slope.mean:.2f}{half}" + (
        f" ({others})" if others else ""
    )
    numbers += "; paper: -1.35 for H/14, -1.57 for L/16, -1.10 for L/32"
    if slope.n == 0:
        return "not comparable", f"no repeat of {largest} has both {small} and {large} px"
    if slope.n == 1:
        return "not separable", f"one repeat gives no interval; {numbers}"
    if slope.low > -2 and slope.high < -1:
        return "reproduced", numbers
    return ("contradicted" if slope.low >= -1 or slope.high <= -2 else "not separable"), numbers


def _slope(table: pd.DataFrame, model: str) -> Interval:
    """d ln(images/s) / d ln(pixels) between the model's two largest sizes, over repeats."""
    small, large = shared_sizes(table, model)[-2:]
    fall = (measured(table, SPEED, model, large) / measured(table, SPEED, model, small)).dropna().map(math.log)
    return t_interval(fall / (2 * math.log(large / small)))


def _c43(table: pd.DataFrame, frame: pd.DataFrame) -> tuple[Word, str]:
    """C43: a large ViT fits larger batches than a large ResNet.

    The largest ViT and the largest ResNet by parameters, at each input size where both were searched. A limit of memory
    does not vary like a speed: repeats must agree, and no interval is needed.

    reproduced      the ViT's is larger at one size at least, and smaller at none
    contradicted    smaller at one size at least, and larger at none
    not separable   equal everywhere (the search goes in steps and stops at a limit), or larger here and smaller there
    not comparable  the search was not made for both
    """
    names = {family: rows["model"].iloc[-1] for family, rows in frame.groupby("family", sort=False)}
    if not {"vit", "resnet"} <= set(names):
        return "not comparable", "a ViT and a ResNet are needed"
    signs, listed = [], []
    for size in shared_sizes(table, names["resnet"], names["vit"]):
        vit, resnet = (measured(table, BATCH, names[family], size) for family in ("vit", "resnet"))
        if len(vit) and len(resnet):
            signs.append(1 if vit.min() > resnet.max() else -1 if vit.max() < resnet.min() else 0)
            listed.append(f"{vit.median():.0f} and {resnet.median():.0f} at {size} px")
    if not signs:
        return "not comparable", f"the largest batch was not searched for both {names['vit']} and {names['resnet']}"
    numbers = f"{names['vit']} and {names['resnet']} fit {', '.join(listed)}; paper: 64 and 32 at 512 px (H/14, R152x4)"
    if max(signs) > 0 and min(signs) >= 0:
        return "reproduced", numbers
    return ("contradicted" if min(signs) < 0 and max(signs) <= 0 else "not separable"), numbers


def _c47(table: pd.DataFrame, frame: pd.DataFrame) -> tuple[Word, str]:
    """C47: the smallest ViT is at least as fast as the ResNet that it is paired with (B/32 and R50x1).

    The pair of fewest FLOPs, at the middle input size (224 px in the paper), speed of the ViT over that of the ResNet:

    reproduced      the 95 % interval lies at or above 1
    contradicted    it lies below 1
    not separable   it holds 1, or one repeat
    not comparable  no pair of like FLOPs
    """
    found = pairs(table, frame)
    if not found:
        return _no_pair()
    pair = found[0]
    size = middle(shared_sizes(table, pair.vit, pair.resnet))
    interval = t_interval(ratio(table, pair, size))
    numbers = f"{pair.vit} over {pair.resnet} at {size} px: {math.exp(interval.mean):.2f}"
    if interval.n < 2:
        return "not separable", f"one repeat gives no interval; {numbers}; paper: 1.32"
    numbers += f" (95 % interval {math.exp(interval.low):.2f} to {math.exp(interval.high):.2f}); paper: 1.32"
    if interval.low >= 0:
        return "reproduced", numbers
    return ("contradicted" if interval.high < 0 else "not separable"), numbers
