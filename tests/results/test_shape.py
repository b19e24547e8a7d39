"""Figure 8 from the result table; each statement of C33 on planted tables."""

import re

import numpy as np
import pytest

from tests.results.planted_scaling import BASE, COST, SLOPES, shape_table, unfinished
from vitstudy.results.paper_scaling import figure8
from vitstudy.results.report import REPORTS
from vitstudy.results.shape_claims import PARTS, verdict_c33
from vitstudy.results.shape_lines import axis_of, base_shape, line, lines

METRIC = "fewshot/5"
PART_NAMES = ("depth most", "width least", "diminishing", "steady", "all together robust")


def verdict(table):
    return verdict_c33(table, METRIC, "nano")


@pytest.mark.parametrize(
    ("table", "word", "says"),
    [
        (shape_table(), "reproduced", "depth most, width least, diminishing"),
        (shape_table({**SLOPES, "depth": (0.01, 0.005)}), "contradicted", "depth most"),
        (shape_table({**SLOPES, "width": (0.02, 0.045)}), "contradicted", "width least"),
        (shape_table({**SLOPES, "depth": (0.05, 0.09)}), "contradicted", "diminishing"),
        (shape_table({**SLOPES, "patch": (0.03, -0.01)}), "contradicted", "steady"),
        (shape_table({**SLOPES, "all": (-0.05, 0.05)}), "contradicted", "all together robust"),
        (
            shape_table({**SLOPES, "mlp": (0.03, 0.01)}),
            "not separable",
            "width least",
        ),  # tied with width
        (shape_table(noise=0.05), "not separable", ""),
        (shape_table(seeds=1), "not separable", "one seed gives no interval"),
    ],
    ids=["clear", "depth", "width", "growing", "patch", "all", "tied", "noisy", "one seed"],
)
def test_c33(table, word, says):
    found = verdict(table)
    assert found.word == word
    assert says in found.reason
    if says in PART_NAMES:  # listed under the word that it decides
        assert re.search(rf"{word}: [^;:]*{says}", found.reason)


def test_equal_gains_are_rarely_called_different():
    same = dict.fromkeys(SLOPES, (0.03, 0.03))
    words = [verdict(shape_table(same, noise=0.01, seed=seed)).word for seed in range(16)]
    assert words.count("contradicted") <= 4  # at most 5 % by the rule: 0.8 expected
    assert "reproduced" not in words


@pytest.mark.parametrize("axis", SLOPES)
def test_a_missing_line_is_named(axis):
    table = shape_table()
    shapes = table[["num_layers", "hidden_dim", "mlp_dim", "patch_size"]].to_numpy()
    on_line = [i for i, shape in enumerate(shapes) if axis_of(shape, BASE) == axis]
    found = verdict(unfinished(table, on_line))
    assert (found.word, "no finished run that scales" in found.reason) == ("not comparable", True)


@pytest.mark.parametrize("rows", [slice(None), slice(1, None), slice(8, None), slice(20, None), slice(0, 16)])
def test_partial_results_give_tables_and_never_exceptions(rows):
    table = unfinished(shape_table(), rows)
    assert len(REPORTS["shape"](table, METRIC, "nano").main.rows) == 16
    bare = table[[name for name in table if "/" not in name]].assign(state="planned")
    assert verdict(bare).word == "not comparable"


def test_lines_cross_at_the_base_and_gains_are_paired():
    table = shape_table(noise=0.03)
    assert base_shape(table) == BASE
    assert base_shape(table.sample(frac=1, random_state=0)) == BASE
    frame = lines(table, METRIC)
    assert frame["axis"].tolist()[0] == "base"
    for axis in SLOPES:
        points = line(frame, axis)
        assert (points["compute"] == 1).sum() == 1
        assert points["compute"].is_monotonic_increasing
    deep = frame[(frame["axis"] == "depth") & (frame["num_layers"] == 16)].iloc[0]
    assert deep["compute"] == pytest.approx(COST[16, 64, 128, 4])
    ours = table[table["num_layers"] == 16].set_index("seed")[METRIC]
    base = table[table["model"] == "ViT-4x64x128/4"].set_index("seed")[METRIC]
    assert deep["gain"] == pytest.approx((ours - base).mean())
    assert deep["gain_half"] == pytest.approx(4.302652730 * (ours - base).std() / np.sqrt(3))


def test_the_papers_own_lines_satisfy_the_statements():
    """Two seeds planted at the published points, a thousandth apart: what the rules say of the paper itself."""
    import pandas as pd

    published = figure8()
    values = {}
    for axis, rows in published.groupby("axis"):
        points = pd.Series(rows["accuracy"].to_numpy(), index=np.log2(rows["compute"].to_numpy()))
        values[axis] = pd.DataFrame([points, points])
    for name, part in PARTS.items():
        assert all((difference > 0).all() for difference in part(values, float(np.log2(3.03)))), name


def test_figure_8_is_as_published():
    paper = figure8()
    assert len(paper) == 22
    assert set(paper.loc[paper["compute"] == 1, "accuracy"]) == {0.4361}
    assert paper.groupby("axis")["accuracy"].max()["depth"] == 0.6113
