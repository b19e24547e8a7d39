"""Figures 3, 4 and the resolution figure: what is drawn is what the table says, gaps are counted, redraws are equal."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from analysis.data_scale_fewshot import _short
from analysis.drawing import Results, metric_name
from analysis.registry import FIGURES, draw
from analysis.report import write_tables
from analysis.style import styled
from tests.results.planted_data_scale import HELPS, METRIC, SETS, SUBSETS, published, resolution
from vitstudy.results.paper import figure3, figure4
from vitstudy.results.report import REPORTS

TABLE = published()
GIVEN = {
    "data_scale_fewshot": Results(TABLE, METRIC, "nano"),
    "data_scale_finetune": Results(TABLE, METRIC, "nano"),
    "resolution": Results(resolution(HELPS), "test/acc", "nano"),
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def drawing(name, results=None):
    with styled():
        return FIGURES[name](results or GIVEN[name])


def without(table, lost):
    table = table.copy()
    table.loc[lost, "state"] = "planned"
    table.loc[lost, [name for name in table if "/" in name]] = np.nan
    return table


def lines(axis):
    """Label -> y values of an axis' error bars and plain lines."""
    bars = {bar.get_label(): bar.lines[0] for bar in axis.containers}
    plain = {line.get_label(): line for line in axis.lines if not line.get_label().startswith("_")}
    return {name: line.get_ydata() for name, line in {**plain, **bars}.items()}


@pytest.mark.parametrize("name", GIVEN)
def test_a_second_drawing_has_the_same_bytes(name, tmp_path):
    first, second = (draw(name, GIVEN[name], tmp_path / where) for where in ("a", "b"))
    assert [path.suffix for path in first] == [".svg", ".png", ".csv", ".txt"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_figure_4_draws_the_means_and_the_paper_on_axes_of_its_own():
    found = drawing("data_scale_fewshot")
    ours, fractals, paper = found.figure.axes[:3]
    rows = TABLE[(TABLE["upstream"] == "fashion-mnist") & (TABLE["model"] == "R14-t")]
    assert lines(ours)["R14-t"] == pytest.approx(100 * rows.groupby("upstream_images")[METRIC].mean().to_numpy())
    assert set(lines(ours)) == {"ViT-t/4", "R14-t", "R8+ViT-t/4"}
    assert len(lines(fractals)) == 5
    published_line = figure4().query("model == 'ViT-L/16'")["paper"]
    assert lines(paper)["ViT-L/16"] == pytest.approx(100 * published_line.to_numpy())
    assert ours.get_xscale() == "log"
    assert [tick.get_text() for tick in fractals.get_xticklabels()] == ["1k\n25×40", "10k\n25×400", "100k\n25×4k"]


def test_no_point_of_figure_4_is_outside_its_panel():
    for axis in drawing("data_scale_fewshot").figure.axes[:5]:
        low, high = axis.get_ylim()
        assert all(low <= value <= high for values in lines(axis).values() for value in values)


def test_figure_3_draws_vits_over_the_band_of_bit_means():
    found = drawing("data_scale_finetune")
    ours, paper = found.figure.axes
    rows = TABLE[(TABLE["stage"] == "finetune") & (TABLE["source"] == "fashion-mnist")]
    means = 100 * rows.groupby(["family", "model", "upstream_images"])["test/acc"].mean()
    assert lines(ours)["ViT-n/4"] == pytest.approx(means["vit", "ViT-n/4"].to_numpy())
    band = ours.collections[0].get_paths()[0].vertices
    for x, size in enumerate(SETS):
        edges = means["resnet"].xs(size, level="upstream_images")
        drawn = band[band[:, 0] == x][:, 1]
        assert (drawn.min(), drawn.max()) == (pytest.approx(edges.min()), pytest.approx(edges.max()))
    labels = [tick.get_text() for tick in ours.get_xticklabels()]
    assert labels == [
        "fractals\n1,000 images\n25 × 40",
        "fractals\n10,000 images\n25 × 400",
        "fractals\n100,000 images\n25 × 4,000",
    ]
    wanted = figure3().query("model == 'ViT-L/16'")["paper"]
    assert lines(paper)["ViT-L/16"] == pytest.approx(100 * wanted.to_numpy())


def test_the_target_of_figure_3_is_that_of_the_metric():
    found = drawing("data_scale_finetune", Results(TABLE, "fewshot/5/digits", "nano"))
    assert set(found.data.query("whose == 'ours'")["target"]) == {"digits"}
    assert "fine-tuning on digits" in found.caption


def test_resolution_draws_two_lines():
    found = drawing("resolution")
    (axis,) = found.figure.axes
    rows = GIVEN["resolution"].table.query("posemb_start == 'reset'")
    assert lines(axis)["drawn anew"] == pytest.approx(100 * rows.groupby("image_size")["test/acc"].mean().to_numpy())
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["16 px\n1×", "24 px\n1.5×", "32 px\n2×"]
    assert "The paper gives no numbers" in found.caption


@pytest.mark.parametrize("name", GIVEN)
def test_gaps_are_counted_and_not_drawn(name):
    given = GIVEN[name]
    if name == "data_scale_fewshot":
        lost = (given.table["stage"] == "pretrain") & (given.table["upstream_images"] == SUBSETS[1])
        count, of = 2 * 3, 2 * (5 * 3 + 3 * 5)
    elif name == "data_scale_finetune":
        lost = (
            (given.table["stage"] == "finetune")
            & (given.table["family"] == "resnet")
            & (given.table["upstream_images"] == SETS[2])
        )
        count, of = 2, 3 * 5
    else:
        lost = (given.table["image_size"] == 32) & (given.table["posemb_start"] == "reset")
        count, of = 1, 6
    table = without(given.table, lost)
    found = drawing(name, Results(table, given.metric, "nano"))
    assert f"{count} of {of} points have no finished run" in found.caption
    assert f"{(~lost).sum()} of {len(table)} runs" in found.caption
    assert found.data["mean"].notna().all()


@pytest.mark.parametrize("name", GIVEN)
def test_before_anything_has_finished_there_is_no_figure(name, tmp_path):
    given = GIVEN[name]
    table = without(given.table, given.table["state"] == "done")
    assert draw(name, Results(table, given.metric, "nano"), tmp_path) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_any_part_of_the_runs_can_be_drawn(name, share):
    given = GIVEN[name]
    lost = np.random.default_rng(0).random(len(given.table)) > share
    assert drawing(name, Results(without(given.table, lost), given.metric, "nano")) is not None


def test_one_seed_has_points_without_bars():
    found = drawing("data_scale_finetune", Results(published(seeds=1), METRIC, "nano"))
    assert found.data.query("whose == 'ours'")["half"].isna().all()


def test_a_report_of_several_sections_is_a_csv_each(tmp_path):
    report = REPORTS["data_scale"](TABLE, METRIC, "nano")
    names = [path.name for path in write_tables("data_scale", report, TABLE, [], tmp_path)]
    assert names == [
        "data_scale.csv", "data_scale_table5.csv", "data_scale_paper_figure4.csv", "data_scale_paper_table5.csv",
        "data_scale.md", "data_scale_runs.csv", "data_scale_env.json",
    ]  # fmt: skip
    written = pd.read_csv(tmp_path / "data_scale_table5.csv")
    assert written["mean"].to_numpy() == pytest.approx(report.sections[1].frame["mean"].to_numpy(), rel=1e-5)
    text = (tmp_path / "data_scale.md").read_text()
    assert all(section.title in text for section in report.sections)
    assert all(f"**{verdict.claim}: {verdict.word}.**" in text for verdict in report.verdicts)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("fewshot/5", "5-shot accuracy"),
        ("fewshot/5/digits", "5-shot accuracy on digits"),
        ("test/acc", "test accuracy"),
    ],
)
def test_metrics_have_names(metric, name):
    assert metric_name(metric) == name


@pytest.mark.parametrize(
    ("count", "text"), [(500, "500"), (1_500, "1.5k"), (16_000, "16k"), (1e7, "10M"), (14_097_122, "14.1M")]
)
def test_sizes_are_short(count, text):
    assert _short(count) == text
