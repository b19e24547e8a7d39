"""The resolution report: C38's words on planted tables, partial results."""

import numpy as np
import pytest

from tests.results.planted_data_scale import HELPS, resolution
from vitstudy.results.report import REPORTS
from vitstudy.results.resolution import resolution_frame


def report(table):
    return REPORTS["resolution"](table, "test/acc", "nano")


def verdict(table):
    (found,) = report(table).verdicts
    return found


def changed(**cells):
    """HELPS with cells replaced: r32=0.9 is reset at 32 px, i16 interpolate at 16 px."""
    names = {"i": "interpolate", "r": "reset"}
    return {**HELPS, **{(int(key[1:]), names[key[0]]): value for key, value in cells.items()}}


@pytest.mark.parametrize(
    ("table", "word"),
    [
        (resolution(HELPS), "reproduced"),
        (resolution(changed(i16=0.90)), "contradicted"),  # higher does not help
        (resolution(changed(r32=0.90)), "contradicted"),  # interpolation loses something
        (resolution(changed(r32=0.80, r24=0.78), noise=0.01), "not separable"),  # interpolation brings nothing
        (resolution(HELPS, noise=0.08), "not separable"),
        (resolution(HELPS, seeds=1), "not separable"),
        (resolution(changed(r16=0.90)), "reproduced"),  # at 1x nothing is interpolated: no part of the claim
    ],
    ids=["clear", "lower is better", "reset is better", "tied", "noisy", "one seed", "only 1x differs"],
)
def test_words(table, word):
    found = verdict(table)
    assert (found.claim, found.word) == ("C38", word)
    assert all(part in found.reason for part in ("nano scale", "16 px", "without numbers", "seed"))


@pytest.mark.parametrize(
    ("keep", "why"),
    [
        (lambda t: t["image_size"] == 16, "no fine-tuning above the 16 px of pre-training"),
        (lambda t: t["posemb_start"] != "reset", "no fine-tuning with position embeddings drawn anew"),
        (lambda t: t["stage"] == "pretrain", "no finished fine-tuning"),
    ],
)
def test_a_grid_without_what_the_claim_needs(keep, why):
    table = resolution(HELPS)
    found = verdict(table[keep(table)])
    assert (found.word, why in found.reason) == ("not comparable", True)


def test_an_empty_cell_is_named_and_a_mix_is_not_compared():
    table = resolution(HELPS)
    table.loc[(table["image_size"] == 32) & (table["posemb_start"] == "reset"), "state"] = "failed"
    found = verdict(table)
    assert (found.word, "interpolate at 32 px minus reset at 32 px" in found.reason) == ("not comparable", True)
    mixed = resolution(HELPS)
    mixed.loc[mixed.index[-1], "precision"] = "bf16"
    assert "mixed precision: bf16, fp32" in verdict(mixed).reason


def test_frame_is_the_paired_difference_by_hand():
    table = resolution(HELPS)
    wide = table[table["stage"] == "finetune"].pivot(
        index="seed", columns=["image_size", "posemb_start"], values="test/acc"
    )
    row = resolution_frame(table, "test/acc").query("image_size == 32 and posemb_start == 'interpolate'").iloc[0]
    assert row["mean"] == pytest.approx(wide[32, "interpolate"].mean())
    assert row["to_reset"] == pytest.approx((wide[32, "interpolate"] - wide[32, "reset"]).mean())
    assert row["to_pretraining"] == pytest.approx((wide[32, "interpolate"] - wide[16, "interpolate"]).mean())
    assert row["ratio"] == 2


def test_any_part_of_the_runs_gives_a_report():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.1, 0.5, 0.9):
        table = resolution(HELPS)
        lost = rng.random(len(table)) > share
        table.loc[lost, "state"], table.loc[lost, "test/acc"] = "planned", np.nan
        assert len(report(table).main.rows) == 6
