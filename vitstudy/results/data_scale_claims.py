"""Verdicts on how much data a ViT needs: C6-C9 on fine-tuned accuracy (Figure 3, Table 5), C10-C12 on few-shot (Figure 4).

Each function states what its claim expects, as differences paired over seeds; `judging.judge` has the one rule for the word.
Small and large: ViTs of one patch size (`same_patch_pairs`); ViT v BiT: models of nearly equal FLOPs (`flop_pairs`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd

from vitstudy.results.data_scale_published import similar_within, statement
from vitstudy.results.judging import Expected, judge, seeds
from vitstudy.results.pretraining import (
    Accuracies,
    PretrainingSet,
    fine_tuned,
    flop_pairs,
    plain_pretraining,
    same_patch_pairs,
    targets,
    upstreams,
)
from vitstudy.results.stats import metric_values
from vitstudy.results.verdicts import Verdict

LAST_DECADE = 10.0
"""C12 compares the largest set with the one nearest to a tenth of it (paper: 30M and 300M)."""


class NotComparable(Exception):
    """The runs cannot answer the claim; the message says why."""


Rule = Callable[[Accuracies, str], list[Expected]]


def verdicts(table: pd.DataFrame, metric: str, scale: str) -> tuple[Verdict, ...]:
    """C6 to C12, in order. Raises ValueError for a metric that finished pre-training runs do not have."""
    found = targets(table, metric)
    tuned = fine_tuned(table, found[0] if found else "")
    where = f"test/acc after fine-tuning on {found[0]}" if found else "fine-tuning"
    lines = upstreams(plain_pretraining(table, metric))
    first = lines[0] if lines else Accuracies(table.iloc[:0], metric)
    seen = images_seen(table)
    return (
        *(_verdict(claim, rule, tuned, where, scale, seen) for claim, rule in TRANSFER.items()),
        *(_verdict(claim, rule, first, metric, scale, seen) for claim, rule in FEWSHOT.items()),
    )


def c6(tuned: Accuracies, scale: str) -> list[Expected]:
    """C6: after pre-training on ImageNet (here: the smallest set), Large is below Base of the same patch size.

    Expected: large minus small below 0, for each patch size.
    """
    smallest, _, _ = _roles(tuned, scale)
    return [_size_gap(tuned, pair, smallest, -1) for pair in _sizes(tuned)]


def c7(tuned: Accuracies, scale: str) -> list[Expected]:
    """C7: on ImageNet-21k (here: the middle set) Large and Base are similar.

    Expected: large minus small within ± m points, for each patch size. m is half-way between the largest difference that
    the paper calls similar (1.18 points) and the smallest that it calls worse in C6 (1.38): an equivalence test, so noisy
    runs are never "similar".
    """
    _, middle, _ = _roles(tuned, scale)
    if middle is None:
        raise NotComparable(f"a middle set needs three pre-training sets, there are {len(tuned.sets)}")
    m = similar_within()
    expected = [_size_gap(tuned, pair, middle, -1) for pair in _sizes(tuned)]
    return [each._replace(sign=sign, bound=-sign * m) for each in expected for sign in (-1, 1)]


def c8(tuned: Accuracies, scale: str) -> list[Expected]:
    """C8: only with JFT (here: the largest set) do larger models pay off fully.

    Expected, for each patch size: large minus small above 0 on the largest set, and larger there than on every smaller set.
    """
    _, _, largest = _roles(tuned, scale)
    if largest is None:
        raise NotComparable("JFT-300M is private and no set stands in for it at this scale")
    expected = []
    for pair in _sizes(tuned):
        there = _size_gap(tuned, pair, largest, 1)
        expected.append(there)
        for smaller in tuned.sets[:-1]:
            before = _size_gap(tuned, pair, smaller, 1)
            change = (there.difference - before.difference).dropna()
            expected.append(Expected(f"{there.label} less that on {smaller.label}", change, 1))
    return expected


def c9(tuned: Accuracies, scale: str) -> list[Expected]:
    """C9 (and C48, the same in the introduction): pre-trained on ImageNet BiT beats ViT, with larger sets ViT overtakes.

    The paper draws a band of BiT models; here each ViT has a partner, so no best-of-several is compared.
    Expected, for each pair: ViT minus BiT below 0 on the smallest set, above 0 on the largest.
    """
    smallest, middle, largest = _roles(tuned, scale)
    last = largest or middle
    assert last is not None
    return _flip(tuned, smallest, last)


def c10(lines: Accuracies, scale: str) -> list[Expected]:
    """C10: on the smallest subset ViT is below the ResNet of like cost. Expected: ViT minus BiT below 0, for each pair."""
    del scale
    _several_sizes(lines, 2)
    return [_family_gap(lines, pair, lines.sets[0], -1) for pair in _partners(lines)]


def c11(lines: Accuracies, scale: str) -> list[Expected]:
    """C11: the order flips. Expected, for each pair: ViT minus BiT below 0 on the smallest subset, above on the largest."""
    del scale
    _several_sizes(lines, 2)
    return _flip(lines, lines.sets[0], lines.sets[-1])


def c12(lines: Accuracies, scale: str) -> list[Expected]:
    """C12: ResNets plateau earlier. Expected, for each pair: from a tenth of the largest set to all of it, ViT gains more."""
    del scale
    _several_sizes(lines, 3)
    low, high = last_decade(lines.sets), lines.sets[-1]
    return [
        Expected(
            f"gain of {vit} minus gain of {resnet} from {low.label} to {high.label}",
            (lines.gain(vit, low, high) - lines.gain(resnet, low, high)).dropna(),
            1,
        )
        for vit, resnet in _partners(lines)
    ]


TRANSFER: dict[str, Rule] = {"C6": c6, "C7": c7, "C8": c8, "C9": c9}
FEWSHOT: dict[str, Rule] = {"C10": c10, "C11": c11, "C12": c12}


def images_seen(table: pd.DataFrame) -> float:
    """Images that a pre-training run sees, repeats counted; NaN without such runs."""
    rows = table[table["stage"] == "pretrain"]
    return float((rows["steps"] * rows["batch_size"]).max())


def last_decade(sets: Sequence[PretrainingSet]) -> PretrainingSet:
    """Of all but the largest, the set nearest (in ratio) to a tenth of the largest."""
    wanted = (sets[-1].images or math.inf) / LAST_DECADE
    return min(sets[:-1], key=lambda each: abs(math.log((each.images or math.inf) / wanted)))


def _verdict(claim: str, rule: Rule, given: Accuracies, where: str, scale: str, seen: float) -> Verdict:
    context = f"{where}, {scale} scale{_listed(given, seen)}"
    try:
        _check(given)
        expected = rule(given, scale)
    except NotComparable as error:
        return Verdict(claim, "not comparable", f"{error}; {context}.")
    word, numbers = judge(expected)
    count = "" if word == "not comparable" else f", {seeds(expected)}"
    return Verdict(claim, word, f"{numbers}; {statement(claim)}; {context}{count}.")


def _listed(given: Accuracies, seen: float) -> str:
    """The sets, and that training does not see all of the larger ones: they add less than their size says."""
    if not given.sets:
        return ""
    first, last = given.sets[0], given.sets[-1]
    text = f", pre-trained on {first.label}" + (f" to {last.label}" if first != last else "")
    unseen = (last.images or math.inf) > seen
    return text + (f" (of which {seen:,.0f} are seen)" if unseen else "")


def _roles(tuned: Accuracies, scale: str) -> tuple[PretrainingSet, PretrainingSet | None, PretrainingSet | None]:
    """What stands for ImageNet, ImageNet-21k and JFT-300M: the smallest, middle and largest set; at paper scale, by name."""
    if len(tuned.sets) < 2:
        raise NotComparable(f"it takes two pre-training sets, there {'is' if tuned.sets else 'are'} {len(tuned.sets)}")
    if scale == "paper":
        named = {each.source: each for each in tuned.sets}
        return named.get("imagenet", tuned.sets[0]), named.get("imagenet-21k"), named.get("jft-300m")
    return tuned.sets[0], tuned.sets[len(tuned.sets) // 2] if len(tuned.sets) > 2 else None, tuned.sets[-1]


def _check(given: Accuracies) -> None:
    done = given.rows[given.rows["state"] == "done"]
    if done.empty or metric_values(given.rows, given.metric).dropna().empty:
        raise NotComparable("no finished run" if len(given.rows) else "the grid has no such run")
    found = sorted(done["precision"].dropna().unique())
    if len(found) > 1:
        raise NotComparable(f"mixed precision: {', '.join(found)}")


def _several_sizes(lines: Accuracies, least: int) -> None:
    if len(lines.sets) < least:
        raise NotComparable(f"it takes {least} pre-training sizes, there are {len(lines.sets)}")


def _sizes(tuned: Accuracies) -> list[tuple[str, str]]:
    """(small, large) of each patch size."""
    _finished(tuned, "vit")
    pairs = same_patch_pairs(tuned.of("vit"))
    if not pairs:
        raise NotComparable("no two ViT sizes of one patch size")
    return [(small.name, large.name) for small, large in pairs]


def _partners(given: Accuracies) -> list[tuple[str, str]]:
    """(ViT, ResNet) of like FLOPs."""
    _finished(given, "vit", "resnet")
    pairs = flop_pairs(given)
    if not pairs:
        raise NotComparable("no ViT and ResNet of like FLOPs")
    return [(vit.name, resnet.name) for vit, resnet in pairs]


def _finished(given: Accuracies, *families: str) -> None:
    unfinished = given.unfinished(*families)
    if unfinished:
        raise NotComparable(f"no finished run of {', '.join(unfinished)}")


def _size_gap(tuned: Accuracies, pair: tuple[str, str], over: PretrainingSet, sign: int) -> Expected:
    small, large = pair
    return Expected(f"{large} minus {small} on {over.label}", tuned.difference(large, small, over), sign)


def _family_gap(given: Accuracies, pair: tuple[str, str], over: PretrainingSet, sign: int) -> Expected:
    return Expected(f"{pair[0]} minus {pair[1]} on {over.label}", given.difference(*pair, over), sign)


def _flip(given: Accuracies, low: PretrainingSet, high: PretrainingSet) -> list[Expected]:
    return [_family_gap(given, pair, over, sign) for pair in _partners(given) for over, sign in ((low, -1), (high, 1))]
