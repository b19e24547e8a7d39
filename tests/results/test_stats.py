"""Intervals against scipy, by hand and by simulation; pairing; verdict words on planted cases."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vitstudy.results.compare import format_interval, table8_comparison
from vitstudy.results.paper import read, table8
from vitstudy.results.stats import paired_difference, summarise, t_interval
from vitstudy.results.table import check_seeds
from vitstudy.results.verdicts import verdict_c34

CELLS = list(table8()[["posemb", "posemb_at"]].itertuples(index=False, name=None))


def table(values, state="done", **more):
    """`values[cell][seed]`, as `collect` would give it."""
    rows = [
        {"run_id": f"{cell}{seed}", "run": f"{cell}-{seed}", "state": state, "posemb": cell[0], "posemb_at": cell[1], "seed": seed,
         "model": "ViT-n/4", "source": "fashion-mnist", "train_size": None, "steps": 10, "batch_size": 5, "fewshot/5": value,
         "cost/params": 100 + len(cell[0]), "cost/forward_flops": 1000, "precision": "fp32", **more}
        for cell, seeds in values.items() for seed, value in enumerate(seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def planted(none, others, noise, seeds=3, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.05, seeds)  # hits all cells of a seed alike: pairing removes it
    means = dict(zip(CELLS, [none, *others], strict=True))
    return table({cell: mean + shared + rng.normal(0, noise, seeds) for cell, mean in means.items()})


def test_t_interval_by_hand_and_by_scipy():
    found = t_interval([1.0, 2.0, 3.0])
    assert (found.mean, found.n) == (2.0, 3)
    assert found.half == pytest.approx(4.302652730 / math.sqrt(3))
    low, high = stats.t.interval(0.9, 4, 3.0, stats.sem([1, 2, 3, 4, 5]))
    found = t_interval([1, 2, 3, 4, 5, float("nan")], level=0.9)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_too_few_values_have_no_interval():
    assert t_interval([]).n == 0
    assert math.isnan(t_interval([]).mean)
    assert t_interval([0.5])[::2] == (0.5, 1)
    assert math.isnan(t_interval([0.5]).half)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_intervals_cover_as_often_as_they_say(n):
    rng, trials = np.random.default_rng(0), 4000
    covered = [abs((found := t_interval(rng.normal(1.0, 2.0, n))).mean - 1.0) <= found.half for _ in range(trials)]
    assert np.mean(covered) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))


def test_differences_are_paired_by_seed():
    a, b = CELLS[0], CELLS[1]
    frame = table({a: [0.1, 0.5, 0.9], b: [0.2, 0.6, 1.0]})
    found = paired_difference(frame.sample(frac=1, random_state=0), "fewshot/5", ["posemb", "posemb_at"], b, a)
    assert found.mean == pytest.approx(0.1)
    assert found.half == pytest.approx(0.0, abs=1e-12)
    frame.loc[(frame["posemb"] == "none") & (frame["seed"] == 1), "state"] = "failed"
    assert paired_difference(frame, "fewshot/5", ["posemb", "posemb_at"], b, a).n == 2


def test_failed_runs_are_counted_and_never_averaged():
    frame = table({CELLS[1]: [0.5, 0.7, 99.0, 99.0]})
    frame.loc[2, "state"], frame.loc[3, "state"] = "failed", "running"
    row = summarise(frame, "fewshot/5", ["posemb", "posemb_at"]).iloc[0]
    assert row["mean"] == pytest.approx(0.6)
    assert row[["n", "planned", "done", "failed", "missing"]].tolist() == [2, 4, 2, 1, 1]


OTHERS = [0.70, 0.705, 0.71, 0.70, 0.71, 0.70, 0.705]


@pytest.mark.parametrize(
    ("frame", "word"),
    [
        (planted(0.60, OTHERS, 0.002), "reproduced"),
        (planted(0.71, OTHERS, 0.05), "not separable"),
        (planted(0.80, OTHERS, 0.002), "contradicted"),
        (planted(0.69, [0.70, 0.80, 0.70, 0.70, 0.70, 0.70, 0.70], 0.001), "contradicted"),  # spread exceeds the gap
        (planted(0.60, OTHERS, 0.002, seeds=1), "not separable"),
    ],
    ids=["clear", "noisy", "reversed", "wide spread", "one seed"],
)
def test_verdict_words(frame, word):
    verdict = verdict_c34(frame, "fewshot/5", "nano", "fashion-mnist")
    assert (verdict.claim, verdict.word) == ("C34", word)
    assert "nano" in verdict.reason
    assert "fashion-mnist" in verdict.reason


def test_runs_that_cannot_be_compared_are_not():
    clear = planted(0.60, OTHERS, 0.002)
    missing = clear[clear["posemb"] != "relative"]
    assert "no finished run of relative stem" in verdict_c34(missing, "fewshot/5", "nano", "x").reason
    mixed = clear.copy()
    mixed.loc[0, "precision"] = "bf16"
    verdict = verdict_c34(mixed, "fewshot/5", "nano", "x")
    assert (verdict.word, "mixed precision: bf16, fp32" in verdict.reason) == ("not comparable", True)


def test_table_8_is_as_published_and_stands_beside_ours():
    wide = read("table8_posemb.csv").set_index("position_embedding")
    assert len(CELLS) == 8
    row = table8_comparison(planted(0.60, OTHERS, 0.002), "fewshot/5").set_index(["posemb", "posemb_at"])
    assert row.loc[("2d", "every-layer"), "paper"] == wide.loc["2-D", "every_layer"]
    assert row.loc[("none", "stem"), "paper_difference"] == pytest.approx(0.61382 - 0.64206)
    assert row.loc[("none", "stem"), "difference"] == pytest.approx(-0.10, abs=0.01)
    assert row.loc[("none", "stem"), "params_difference"] == 2
    assert row.loc[("1d", "stem"), "difference"] == 0


def test_seeds_that_gave_equal_bits_are_refused():
    with pytest.raises(ValueError, match="bit-equal"):
        check_seeds(table({CELLS[1]: [0.5, 0.5]}))
    check_seeds(table({CELLS[1]: [0.5, 0.6], CELLS[2]: [0.5, 0.6]}))


@pytest.mark.parametrize(
    ("given", "text"),
    [((0.7134, 0.0081, 3), "71.3 ± 0.8"), ((0.7, float("nan"), 1), "70.0"), ((float("nan"), float("nan"), 0), "–")],
)
def test_numbers_are_written_with_their_interval(given, text):
    assert format_interval(*given) == text
