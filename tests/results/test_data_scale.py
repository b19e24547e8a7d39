"""The data_scale report: words on planted tables, the numbers behind them, partial results."""

import math

import numpy as np
import pytest

from tests.results.planted_data_scale import (
    METRIC,
    SETS,
    SUBSETS,
    as_published_fewshot,
    as_published_tuned,
    data_scale,
    family,
    published,
)
from vitstudy.results.data_scale_claims import verdicts
from vitstudy.results.report import REPORTS

CLAIMS = [f"C{number}" for number in range(6, 13)]
CLEAR = published(noise=0.002)


def report(table, metric=METRIC, scale="nano"):
    return REPORTS["data_scale"](table, metric, scale)


def words(table, scale="nano"):
    return {verdict.claim: verdict.word for verdict in verdicts(table, METRIC, scale)}


def reasons(table, scale="nano"):
    return {verdict.claim: verdict.reason for verdict in verdicts(table, METRIC, scale)}


def flat(model, images):
    del model, images
    return 0.6


def opposite_fewshot(model, images):
    return 1.2 - as_published_fewshot(model, images)


def opposite_tuned(model, images):
    """Large ahead on the smallest set and far from level in the middle, behind on the largest; ViT ahead, then behind."""
    shift = {"ViT-n/4": (0.05, 0.06, -0.05)[SETS.index(images)]}.get(model, 0.0)
    return 1.4 - as_published_tuned(model.replace("ViT-n/4", "ViT-t/4"), images) + shift


@pytest.mark.parametrize(
    ("table", "word"),
    [
        (CLEAR, "reproduced"),
        (data_scale(opposite_fewshot, opposite_tuned, noise=0.002), "contradicted"),
        (published(noise=0.15, shared=0.0, seeds=2), "not separable"),
        (data_scale(flat, flat, noise=0.02, shared=0.0, seed=2), "not separable"),
        (published(seeds=1), "not separable"),
    ],
    ids=["clear", "reversed", "noisy", "tied", "one seed"],
)
def test_words(table, word):
    assert words(table) == dict.fromkeys(CLAIMS, word)


def test_a_tie_is_similar_only_when_its_interval_is_narrow():
    assert words(data_scale(flat, flat, noise=0.001))["C7"] == "reproduced"
    assert words(data_scale(flat, flat, noise=0.02, seed=2))["C7"] == "not separable"


def test_a_tiny_vit_that_never_overtakes_is_a_finding():
    """ViT below BiT by the same gap at every size: C10 holds, C11 is contradicted, C12 (equal gains) is open."""

    def never(model, images):
        return 0.5 + 0.05 * math.log10(images) - 0.1 * (family(model) == "vit")

    found = words(data_scale(never, never, noise=0.002))
    assert (found["C9"], found["C10"], found["C11"], found["C12"]) == (
        "contradicted", "reproduced", "contradicted", "not separable",
    )  # fmt: skip
    reason = reasons(data_scale(never, never, noise=0.002))["C11"]
    for part in (
        "ViT-t/4 minus R14-t on fashion-mnist 55,000",
        "±",
        "n = 3 seeds",
        "nano scale",
        "20,000 are seen",
        "paper:",
    ):
        assert part in reason


def test_one_pair_that_disagrees_is_enough_to_contradict():
    def mostly(model, images):
        return as_published_tuned(model, images) - 0.3 * (model == "ViT-n/4" and images == SETS[-1])

    assert words(data_scale(as_published_fewshot, mostly, noise=0.002))["C9"] == "contradicted"


def test_what_the_verdict_says_is_the_paired_difference_by_hand():
    rows = CLEAR[
        (CLEAR["stage"] == "finetune") & (CLEAR["source"] == "fashion-mnist") & (CLEAR["upstream_images"] == SETS[0])
    ]
    wide = rows.pivot(index="seed", columns="model", values="test/acc")
    gap = 100 * (wide["ViT-n/4"] - wide["ViT-t/4"])
    half = 4.302652730 * gap.std(ddof=1) / math.sqrt(3)
    assert (
        f"ViT-n/4 minus ViT-t/4 on fractals 1,000 (25 × 40) {gap.mean():+.1f} ± {half:.1f} points"
        in reasons(CLEAR)["C6"]
    )


def test_seeds_are_paired():
    """A part that all runs of a seed share, ten times the gap, changes no word."""
    assert words(published(noise=0.002, shared=0.5)) == dict.fromkeys(CLAIMS, "reproduced")


# partial results


def test_nothing_finished_is_a_table_of_gaps_and_no_verdict():
    table = CLEAR.assign(state="planned").drop(columns=[c for c in CLEAR if "/" in c])
    table["train/loss"] = np.nan
    found = report(table)
    assert {verdict.word for verdict in found.verdicts} == {"not comparable"}
    assert all(cell in ("", "–") for row in found.main.rows for cell in row[2:])


@pytest.mark.parametrize(
    ("lost", "claims", "why"),
    [
        (lambda t: t["family"] == "resnet", ["C9", "C10", "C11", "C12"], "no ViT and ResNet of like FLOPs"),
        (lambda t: t["model"] == "ViT-n/4", ["C6", "C7", "C8"], "no two ViT sizes of one patch size"),
        (lambda t: t["upstream_images"] != SETS[0], CLAIMS, "it takes"),
        (lambda t: t["upstream_images"] == SETS[1], ["C7"], "a middle set needs three pre-training sets, there are 2"),
        (lambda t: t["stage"] == "finetune", ["C6", "C7", "C8", "C9"], "the grid has no such run"),
        (lambda t: t["stage"] == "pretrain", ["C10", "C11", "C12"], "the grid has no such run"),
    ],
    ids=["no BiT", "one ViT size", "one set", "two sets", "few-shot part only", "fine-tune part only"],
)
def test_a_grid_without_what_a_claim_needs(lost, claims, why):
    table = CLEAR[~lost(CLEAR)]
    found, said = words(table), reasons(table)
    assert {claim for claim, word in found.items() if word == "not comparable"} == set(claims)
    assert all(why in said[claim] for claim in claims)


def test_a_model_that_has_not_run_yet_is_named():
    table = CLEAR.copy()
    waiting = table["model"] == "R14-t"
    table.loc[waiting, "state"] = "running"
    table.loc[waiting, [name for name in table if "/" in name]] = np.nan
    assert "no finished run of R14-t" in reasons(table)["C10"]
    assert words(table)["C6"] == "reproduced"


def test_a_cell_without_a_common_seed_is_named():
    table = CLEAR.copy()
    failed = (table["model"] == "ViT-t/4") & (table["upstream_images"] == SUBSETS[-1]) & (table["stage"] == "pretrain")
    table.loc[failed, "state"] = "failed"
    said = reasons(table)["C11"]
    assert "no seed finished both sides of ViT-t/4 minus R14-t on fashion-mnist 55,000" in said
    assert words(table)["C10"] == "reproduced"
    found = report(table)
    row = next(row for row in found.main.rows if row[:2] == (METRIC, "fashion-mnist 55,000"))
    assert row[2] == "–"
    assert "failed" in " ".join(found.notes)


def test_mixed_precision_is_not_compared():
    table = CLEAR.copy()
    table.loc[table["stage"] == "finetune", "precision"] = ["bf16", "fp32"] * (
        int((table["stage"] == "finetune").sum()) // 2
    )
    assert "mixed precision: bf16, fp32" in reasons(table)["C6"]


def test_any_half_of_the_runs_gives_a_report():
    rng = np.random.default_rng(0)
    for share in (0.02, 0.3, 0.6, 0.9):
        table = CLEAR.copy()
        lost = rng.random(len(table)) > share
        table.loc[lost, "state"] = "planned"
        table.loc[lost, [name for name in table if "/" in name]] = np.nan
        found = report(table)
        assert [verdict.claim for verdict in found.verdicts] == CLAIMS
        assert found.notes[-1].startswith(f"{(~lost).sum()} of {len(table)} runs are done")


def test_at_paper_scale_nothing_stands_for_jft():
    table = CLEAR.copy()
    names = dict(zip(SETS, ("imagenet", "imagenet-21k", "imagenet-21k"), strict=True))
    fractals = table["upstream"] == "fractals"
    table.loc[fractals, "upstream"] = table.loc[fractals, "upstream_images"].map(names)
    table = table[table["upstream_images"] != SETS[2]]
    found = words(table, scale="paper")
    assert (found["C6"], found["C7"], found["C8"]) == ("reproduced", "reproduced", "not comparable")
    assert "JFT-300M is private" in reasons(table, scale="paper")["C8"]
