"""Table 6 from the result table, and the words of C15, C16 and C17 on planted tables."""

import numpy as np
import pandas as pd
import pytest

from tests.results.planted_scaling import BUDGETS, compute_table, law, unfinished
from vitstudy.results.compute_claims import verdicts
from vitstudy.results.paper import read
from vitstudy.results.paper_scaling import figure5, table6
from vitstudy.results.report import REPORTS
from vitstudy.results.transfers import published_frontiers, table6_comparison, transfers

FLAT = {"vit": law, "resnet": law, "hybrid": law}


def worded(table, claim):
    report = REPORTS["compute"](table, "test/acc", "nano")
    return next(verdict for verdict in report.verdicts if verdict.claim == claim)


def behind(times):
    """The ResNet needs `times` the compute."""
    return {**FLAT, "resnet": lambda at: law(at / times)}


@pytest.mark.parametrize(
    ("table", "word", "says"),
    [
        (compute_table(behind(3)), "reproduced", "overlaps the paper's 2 to 4"),
        (compute_table(behind(8), noise=0.002), "reproduced", "does not overlap the paper's"),
        (compute_table(behind(1.4), noise=0.001), "not separable", "does not overlap the paper's"),
        (compute_table(behind(0.4)), "contradicted", "does not overlap"),
        (compute_table(behind(1)), "not separable", "95 % interval"),
        (compute_table(behind(3), noise=0.5, seeds=2), "not separable", ""),
        (compute_table(behind(3), seeds=1), "not separable", "one seed gives no interval"),
    ],
    ids=["clear", "far", "less than twice", "reversed", "tied", "noisy", "one seed"],
)  # fmt: skip
def test_c15(table, word, says):
    verdict = worded(table, "C15")
    assert verdict.word == word
    assert says in verdict.reason
    assert "nano" in verdict.reason


@pytest.mark.parametrize(
    ("ahead", "cost", "word"),
    [
        ("vit", 1, "reproduced"),  # its worst is better than the other's best, and cheaper
        ("resnet", 1, "contradicted"),
        ("vit", 100, "not comparable"),  # better, but dearer: nothing can be said
        ("resnet", 100, "not comparable"),
    ],
)
def test_c15_without_a_common_accuracy(ahead, cost, word):
    table = compute_table({**FLAT, ahead: lambda at: 0.2 * law(at)})
    table.loc[table["family"] == ahead, "cost/pretrain_flops"] *= cost
    verdict = worded(table, "C15")
    assert verdict.word == word
    assert "no accuracy is reached by both" in verdict.reason
    assert ("costs no more compute" in verdict.reason) == (cost == 1)


def test_c15_when_compute_buys_nothing():
    verdict = worded(compute_table({**FLAT, "vit": lambda at: 0.2 * at**0.05}), "C15")
    assert (verdict.word, "ViT does not rise with compute" in verdict.reason) == ("not separable", True)


def hybrid(small, large):
    """A hybrid whose accuracy is above the ViT's by `small` at the smallest and `large` at the largest budget."""
    top = BUDGETS["vit"][-1]
    errors = law(BUDGETS["hybrid"][0]) - small, law(top) - large
    b = np.log(errors[0] / errors[1]) / np.log(top / BUDGETS["hybrid"][0])
    return {**FLAT, "hybrid": lambda at: errors[0] * (at / BUDGETS["hybrid"][0]) ** -b}


@pytest.mark.parametrize(
    ("table", "word"),
    [
        (compute_table(hybrid(0.04, 0.0), noise=0.005), "reproduced"),
        (compute_table(hybrid(0.04, -0.02), noise=0.002), "reproduced"),
        (compute_table(hybrid(0.0, 0.0), noise=0.01), "not separable"),
        (compute_table(hybrid(0.04, 0.03), noise=0.002), "contradicted"),  # still ahead
        (compute_table(hybrid(-0.05, 0.0), noise=0.002), "contradicted"),  # behind
        (compute_table(hybrid(0.04, 0.0), noise=0.3), "not separable"),
        (compute_table(hybrid(0.04, 0.0), seeds=1), "not separable"),
        (compute_table({"vit": law, "resnet": law}), "not comparable"),
    ],
    ids=["clear", "overtaken", "tied", "stays", "behind", "noisy", "one seed", "missing"],
)
def test_c16(table, word):
    assert worded(table, "C16").word == word


@pytest.mark.parametrize(
    ("error", "noise", "seeds", "word"),
    [
        (law, 0.01, 3, "reproduced"),
        (lambda at: law(min(at, 8)), 0.002, 3, "contradicted"),  # flat from a budget of 8 on
        (lambda at: law(min(at, 8)) * max(1, at / 8) ** 0.1, 0.005, 3, "contradicted"),  # falls again
        (
            lambda at: law(min(at, 8)) * max(1, at / 8) ** -0.005,
            0.00005,
            3,
            "contradicted",
        ),  # rises, by a thirtieth of before
        (law, 0.5, 2, "not separable"),
        (law, 0.01, 1, "not separable"),
    ],
    ids=["rises", "flat", "falls", "nearly flat", "noisy", "one seed"],
)
def test_c17(error, noise, seeds, word):
    assert worded(compute_table({"vit": error}, noise, seeds), "C17").word == word


def test_tied_families_are_rarely_told_apart():
    words = []
    for seed in range(16):
        table = compute_table(FLAT, noise=0.02, seed=seed, targets=("digits",))
        words += [verdict.word for verdict in verdicts(table, transfers(table, "test/acc"), "nano")[:2]]
    assert sum(word != "not separable" for word in words) <= 6  # 5 % of 32 expected: 1.6


def test_what_is_missing_or_mixed_is_said():
    table = compute_table(behind(3))
    half = unfinished(table, table.index[(table["seed"] == 2) & (table["source"] == "digits")], "failed")
    report = REPORTS["compute"](half, "test/acc", "nano")
    assert report.verdicts[0].word in ("reproduced", "not separable")
    assert "n = 2 seeds" in report.verdicts[0].reason
    assert any("18 failed" in note for note in report.notes)
    table.loc[3, "precision"] = "fp32"
    mixed = worded(table, "C15")
    assert (mixed.word, "mixed precision: bf16, fp32" in mixed.reason) == ("not comparable", True)


def test_pre_trainings_that_kept_an_earlier_steps_weights_are_counted():
    table = compute_table(behind(3))
    before = REPORTS["compute"](table, "test/acc", "nano").notes
    assert not any("earlier step" in note for note in before)
    parents = table["stage"] == "pretrain"
    table.loc[parents, "minival/acc"] = np.linspace(0.3, 0.4, parents.sum())
    table.loc[parents, "train/best_step"] = table["steps"]
    table.loc[table.index[parents][:5], "train/best_step"] = 50
    notes = REPORTS["compute"](table, "test/acc", "nano").notes
    assert any(f"the weights of 5 of {parents.sum()} pre-trainings are of an earlier step" in note for note in notes)


@pytest.mark.parametrize("rows", [slice(None), slice(1, None), slice(5, None), slice(40, None), slice(0, 130)])
def test_partial_results_give_tables_and_never_exceptions(rows):
    table = unfinished(compute_table(FLAT), rows)
    report = REPORTS["compute"](table, "test/acc", "nano")
    assert len(report.main.rows) == 18
    assert report.main.rows[0][0] == "ViT-t/4"
    bare = table[[name for name in table if "/" not in name]].assign(state="planned")  # before the first result
    assert {each.word for each in REPORTS["compute"](bare, "test/acc", "nano").verdicts} == {"not comparable"}


def test_our_table_6_is_the_mean_over_seeds_and_targets():
    table = compute_table(FLAT, noise=0.05)
    frame = table6_comparison(transfers(table, "test/acc")).set_index(["model", "upstream_steps"])
    rows = table[(table["stage"] == "finetune") & (table["model"] == "R14-n") & (table["upstream_steps"] == 200)]
    row = frame.loc[("R14-n", 200)]
    assert row["average"] == pytest.approx(rows["test/acc"].mean())
    assert row["digits"] == pytest.approx(rows.loc[rows["source"] == "digits", "test/acc"].mean())
    assert row["average_n"] == 3
    assert row["exaflops"] == pytest.approx(9.6e-6)
    assert row["device_hours"] == pytest.approx(96 / 3600)
    gap = unfinished(table, [rows.index[0]])
    row = table6_comparison(transfers(gap, "test/acc")).set_index(["model", "upstream_steps"]).loc[("R14-n", 200)]
    assert (row["average_n"], row["fashion-mnist_n"], row["digits_n"]) == (2, 2, 3)


def test_two_runs_of_one_cell_are_refused():
    table = compute_table({"vit": law})
    with pytest.raises(ValueError, match="several runs of one cell"):
        transfers(pd.concat([table, table.tail(1)]), "test/acc")


def test_pareto_best_models_are_marked():
    frame = table6_comparison(
        transfers(compute_table({"vit": lambda at: 0.2 if at == 4 else law(at)}, noise=0), "test/acc")
    )
    assert frame["pareto"].tolist() == [True, True, True, False, True, True]  # at 8: 0.22, worse than 0.20 at 4


def test_the_papers_table_is_as_published_and_its_average_is_figure_5():
    paper, raw = table6(), read("table6_scaling.csv")
    assert len(paper) == 18
    assert set(paper["family"]) == {"vit", "resnet", "hybrid"}
    assert (100 * paper["average"]).to_numpy() == pytest.approx(raw["avg5_derived"].to_numpy(), abs=1e-6)
    drawn = figure5().merge(paper.assign(model=paper["model"]), on=["model", "epochs"], suffixes=("", "_table"))
    assert len(drawn) == 18
    assert drawn["average"].to_numpy() == pytest.approx(drawn["average_table"].to_numpy(), abs=2e-4)
    assert drawn["flops"].to_numpy() == pytest.approx(drawn["flops_table"].to_numpy(), rel=0.025)


def test_the_papers_own_points_give_the_papers_claim():
    from vitstudy.results.frontier import compute_ratio

    laws = published_frontiers()
    found = compute_ratio(laws["resnet"], laws["vit"])
    assert 2 < found.value < 4
    assert laws["vit"].high == pytest.approx(np.log(4262e18))
