"""Figure 12 from the result table; C41, C42, C43 and C47 on planted tables."""

import numpy as np
import pytest

from tests.results.planted_scaling import BATCHES, SPEEDS, timing_table, unfinished
from vitstudy.results.paper_scaling import figure12
from vitstudy.results.report import REPORTS
from vitstudy.results.speeds import middle, pairs, speeds


def report(table):
    return REPORTS["timing"](table, "timing/images_per_s", "nano")


def paired(table):
    return pairs(table, speeds(table))


def word(table, claim):
    return next(verdict.word for verdict in report(table).verdicts if verdict.claim == claim)


def speed(model, value=None, slope=None):
    """SPEEDS with one model changed."""
    family, flops, old, its = SPEEDS[model]
    return {**SPEEDS, model: (family, flops, value or old, slope or its)}


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        (timing_table(), "reproduced"),
        (timing_table(speed("ViT-t/4", 60000)), "contradicted"),
        (timing_table(speed("ViT-m/4", 1000)), "contradicted"),
        (timing_table(speed("ViT-t/4", 40000)), "not separable"),  # twice as fast: on the border
        (timing_table(noise=0.5), "not separable"),
        (timing_table(repeats=1), "not separable"),
    ],
    ids=["comparable", "faster", "slower", "border", "noisy", "one repeat"],
)
def test_c41(table, wanted):
    assert word(table, "C41") == wanted


@pytest.mark.parametrize(
    ("slope", "noise", "wanted"),
    [(-1.4, 0.01, "reproduced"), (-2.3, 0.01, "contradicted"), (-0.8, 0.01, "contradicted"), (-1.0, 0.05, "not separable")],
    ids=["starts", "rules", "nothing", "linear"],
)  # fmt: skip
def test_c42(slope, noise, wanted):
    assert word(timing_table(speed("ViT-m/4", slope=slope), noise=noise, seed=1), "C42") == wanted


def test_sizes_that_differ_by_the_rounding_to_a_patch_are_one():
    table = timing_table()
    rounded = table.assign(image_size=table["image_size"].replace({20: 21, 40: 42, 60: 63, 80: 77, 120: 119}))
    shifted = table.where(table["model"] != "ViT-m/4", rounded)  # as H/14 in Figure 12: 70, 126, 224, 378, 518
    assert [verdict.word for verdict in report(shifted).verdicts] == [
        verdict.word for verdict in report(table).verdicts
    ]
    c43 = next(verdict for verdict in report(shifted).verdicts if verdict.claim == "C43")
    assert all(f" at {size} px" in c43.reason for size in (20, 40, 60, 80, 120))
    assert paired(shifted) == paired(table)


@pytest.mark.parametrize(
    ("batches", "wanted"),
    [
        (BATCHES, "reproduced"),
        ({**BATCHES, "ViT-m/4": 16}, "contradicted"),
        ({**BATCHES, "ViT-m/4": 64}, "not separable"),
        (None, "not comparable"),
    ],
    ids=["larger", "smaller", "tied", "not searched"],
)
def test_c43(batches, wanted):
    assert word(timing_table(batches=batches), "C43") == wanted


@pytest.mark.parametrize(
    ("value", "noise", "repeats", "wanted"),
    [(26000, 0.01, 3, "reproduced"), (14000, 0.01, 3, "contradicted"), (20000, 0.05, 3, "not separable"),
     (26000, 0.01, 1, "not separable")],
    ids=["faster", "slower", "tied", "one repeat"],
)  # fmt: skip
def test_c47(value, noise, repeats, wanted):
    assert word(timing_table(speed("ViT-t/4", value), noise=noise, repeats=repeats), "C47") == wanted


def test_models_of_nearest_flops_are_paired_and_others_are_not():
    assert [pair[:2] for pair in paired(timing_table())] == [("ViT-t/4", "R14-t"), ("ViT-m/4", "R14-m")]
    lone = {**SPEEDS, "ViT-h/4": ("vit", 5e7, 100, -1.0)}
    assert "ViT-h/4" not in [pair.vit for pair in paired(timing_table(lone, {**BATCHES, "ViT-h/4": 64}))]
    assert paired(timing_table().drop(columns="cost/forward_flops")) == ()
    only = {name: value for name, value in SPEEDS.items() if value[0] == "vit"}
    assert {verdict.word for verdict in report(timing_table(only)).verdicts if verdict.claim != "C42"} == {
        "not comparable"
    }
    assert paired(timing_table())[0].flops == pytest.approx(1.1e6 * 9)


def test_the_middle_size_is_the_papers():
    assert middle([64, 128, 224, 384, 512]) == 224


@pytest.mark.parametrize("rows", [slice(None), slice(1, None), slice(7, None), slice(30, None), slice(0, 20)])
def test_partial_results_give_tables_and_never_exceptions(rows):
    table = unfinished(timing_table(), rows)
    assert len(report(table).main.rows) == 20
    bare = table[[name for name in table if "/" not in name]].assign(state="planned")
    found = report(bare)
    assert {verdict.word for verdict in found.verdicts} == {"not comparable"}
    assert "nothing has been measured yet" in found.notes


def test_other_devices_are_not_mixed():
    table = timing_table()
    table.loc[0, "device_name"] = "another CPU"
    assert {verdict.word for verdict in report(table).verdicts} == {"not comparable"}
    assert "mixed device_name: a CPU, another CPU" in report(table).verdicts[0].reason


def test_rows_are_means_over_repeats():
    table = timing_table(noise=0.1)
    row = speeds(table).set_index(["model", "image_size"]).loc[("ViT-m/4", 40)]
    mine = table[(table["model"] == "ViT-m/4") & (table["image_size"] == 40)]["timing/images_per_s"]
    assert row["mean"] == pytest.approx(mine.mean())
    assert row["half"] == pytest.approx(4.302652730 * mine.std() / np.sqrt(3))
    frame = report(table).main.frame.set_index(["model", "image_size"])
    other = table[(table["model"] == "R14-m") & (table["image_size"] == 40)]["timing/images_per_s"]
    ratios = mine.to_numpy() / other.to_numpy()
    assert frame.loc[("ViT-m/4", 40), "ratio"] == pytest.approx(np.exp(np.log(ratios).mean()))


def test_figure_12_is_as_published():
    paper = figure12().set_index(["model", "image_size"])
    assert len(paper) == 40
    assert paper.loc[("ViT-B/32", 224), "images_per_s"] == 2861
    assert paper.loc[("R152x4", 512), "max_batch"] == 32
