"""Figures 5, 8 and 12: what is drawn is what the tables say, a redraw has the same bytes, gaps are counted."""

import numpy as np
import pandas as pd
import pytest

from analysis.drawing import Results
from analysis.registry import FIGURES, draw
from analysis.style import styled
from tests.results.planted_scaling import compute_table, law, shape_table, timing_table, unfinished
from vitstudy.results.paper_scaling import figure5, figure8, figure12
from vitstudy.results.speeds import speeds
from vitstudy.results.transfers import table6_comparison, transfers

LAWS = {"vit": law, "resnet": lambda at: law(at / 2.5), "hybrid": lambda at: law(at, b=0.1, error=0.26)}
TABLES = {
    "compute_frontier": (compute_table(LAWS, noise=0.03), "test/acc"),
    "shape": (shape_table(noise=0.01), "fewshot/5"),
    "timing": (timing_table(), "timing/images_per_s"),
}


def drawing(name, table=None):
    given, metric = TABLES[name]
    with styled():
        return FIGURES[name](Results(given if table is None else table, metric, "nano"))


def points(axis):
    """Every marker on an axis: (x, y), sorted."""
    lines = [line for line in axis.lines if line.get_marker() not in ("None", "|", "_", "")]
    found = np.concatenate([np.column_stack([line.get_xdata(), line.get_ydata()]) for line in lines])
    return found[np.lexsort(found.T)]


def ordered(x, y):
    found = np.column_stack([x, y]).astype(float)
    return found[np.lexsort(found.T)]


@pytest.mark.parametrize("name", TABLES)
def test_a_second_drawing_has_the_same_bytes(name, tmp_path):
    table, metric = TABLES[name]
    first, second = (draw(name, Results(table, metric, "nano"), tmp_path / where) for where in "ab")
    assert [path.suffix for path in first] == [".svg", ".png", ".csv", ".txt"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    drawn = pd.read_csv(first[2])
    assert {"ours", "paper"} <= set(drawn["kind"])


@pytest.mark.parametrize("name", TABLES)
def test_nothing_finished_gives_no_figure_and_gaps_are_counted(name):
    table = TABLES[name][0]
    assert drawing(name, unfinished(table)) is None
    part = unfinished(table, slice(len(table) // 2, None), "failed")
    half = len(table) - len(table) // 2
    assert f"({half} failed)" in drawing(name, part).caption
    bare = table[[column for column in table if "/" not in column]].assign(state="planned")
    assert drawing(name, bare) is None


def test_the_frontier_shows_table_6_and_the_papers_points():
    ours, _, hours, paper, right, _ = drawing("compute_frontier").figure.axes
    frame = table6_comparison(transfers(*TABLES["compute_frontier"]))
    assert points(ours) == pytest.approx(ordered(frame["exaflops"], 100 * frame["average"]))
    assert points(hours) == pytest.approx(ordered(frame["device_hours"], 100 * frame["average"]))
    published = figure5()
    assert points(paper) == pytest.approx(ordered(published["flops"] / 1e18, 100 * published["average"]))
    assert points(right) == pytest.approx(ordered(published["flops"] / 1e18, 100 * published["imagenet"]))
    decades = [np.ptp(np.log10(axis.get_xlim())) for axis in (ours, paper)]
    assert decades[0] == pytest.approx(decades[1])


def test_the_laws_that_are_drawn_are_the_fitted_ones():
    data = drawing("compute_frontier").data
    law_of_vit = data[(data["kind"] == "our law") & (data["panel"] == "average") & (data["family"] == "vit")]
    found = transfers(*TABLES["compute_frontier"]).frontier("vit")
    wanted = [found.accuracy(np.log(each * 1e18)).mean() for each in law_of_vit["exaflops"]]
    assert law_of_vit["mean"].to_numpy() == pytest.approx(np.array(wanted))


def test_shape_shows_both_on_one_axis_of_compute():
    left, right = drawing("shape").figure.axes
    assert left.get_xlim() == right.get_xlim()
    published = figure8()
    assert points(right) == pytest.approx(ordered(published["compute"], 100 * published["accuracy"]))
    base = points(left)[np.isclose(points(left)[:, 0], 1)]
    assert len(base) == 5
    assert len(points(left)) == 15 + 5
    assert np.ptp(base[:, 1]) == 0


def test_timing_shows_speed_and_batch():
    axes = drawing("timing").figure.axes
    frame, paper = speeds(timing_table()), figure12()
    assert points(axes[0]) == pytest.approx(ordered(frame["image_size"], frame["mean"]))
    assert points(axes[1]) == pytest.approx(ordered(frame["image_size"], frame["max_batch"]))
    assert points(axes[2]) == pytest.approx(ordered(paper["image_size"], paper["images_per_s"]))
    assert points(axes[3]) == pytest.approx(ordered(paper["image_size"], paper["max_batch"]))


def test_without_a_search_the_batch_panel_says_so():
    axes = drawing("timing", timing_table(batches=None)).figure.axes
    assert [text.get_text() for text in axes[1].texts] == ["not searched"]
