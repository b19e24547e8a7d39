"""What is drawn is what the table says; gaps are counted; a redraw gives the same bytes."""

import numpy as np
import pandas as pd
import pytest

from analysis.drawing import Results
from analysis.posemb_similarity import mosaic
from analysis.registry import FIGURES, draw
from experiments import STUDIES
from tests.results.test_stats import CELLS, OTHERS, planted

RNG = np.random.default_rng(0)


def results(frame):
    arrays = {run: np.clip(RNG.normal(0, 0.3, (3, 3, 3, 3)), -1, 1) for run in frame["run_id"] if "none" not in run}
    return Results(frame, "fewshot/5", "nano", {"posemb_similarity": arrays})


def test_every_figure_of_every_study_exists():
    assert {name for study in STUDIES.values() for name in study.figures} <= set(FIGURES)
    with pytest.raises(ValueError, match="unknown figure 'x'; allowed: posemb_table"):
        draw("x", results(planted(0.6, OTHERS, 0.01)), None)


def test_the_drawn_points_are_the_tables(tmp_path):
    given = results(planted(0.6, OTHERS, 0.01))
    drawing = FIGURES["posemb_table"](given)
    ours, paper = drawing.figure.axes
    points = ours.containers[0].lines[0].get_ydata()
    assert points == pytest.approx(100 * drawing.data["mean"].to_numpy())
    assert drawing.data["mean"].iloc[0] == pytest.approx(given.table.query("posemb == 'none'")["fewshot/5"].mean())
    assert paper.lines[0].get_ydata()[0] == pytest.approx(61.382)
    spans = [np.ptp(axis.get_ylim()) for axis in (ours, paper)]
    assert spans[0] == pytest.approx(spans[1])


@pytest.mark.parametrize("name", STUDIES["posemb"].figures)
def test_a_second_drawing_has_the_same_bytes(name, tmp_path):
    given = results(planted(0.6, OTHERS, 0.01))
    first, second = (draw(name, given, tmp_path / where) for where in ("a", "b"))
    assert [path.suffix for path in first] == [".svg", ".png", ".csv", ".txt"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_captions_count_what_is_missing(tmp_path):
    frame = planted(0.6, OTHERS, 0.01)
    frame.loc[0, "state"], frame.loc[5, "state"] = "failed", "planned"
    caption = FIGURES["posemb_table"](results(frame)).caption
    assert "22 of 24 runs (1 missing, 1 failed)" in caption


def test_a_mosaic_has_each_tile_in_its_place():
    similarity = RNG.random((2, 3, 2, 3))
    image = mosaic(similarity)
    assert image.shape == (2 * 3 - 1, 3 * 4 - 1)
    assert np.array_equal(image[3:5, 4:7], similarity[1, 1])
    assert np.isnan(image[2]).all()


def test_the_drawn_csv_of_the_similarity_figure_is_the_mean_over_seeds(tmp_path):
    given = results(planted(0.6, OTHERS, 0.01))
    path = next(path for path in draw("posemb_similarity", given, tmp_path) if path.suffix == ".csv")
    drawn = pd.read_csv(path)
    cell = given.table[(given.table["posemb"] == "2d") & (given.table["posemb_at"] == "stem")]
    wanted = np.mean([given.probes["posemb_similarity"][run] for run in cell["run_id"]], axis=0)
    assert drawn.query("posemb == '2d' and posemb_at == 'stem'")["similarity"].to_numpy() == pytest.approx(
        wanted.ravel(), abs=1e-5
    )
    assert len(drawn["posemb"] + drawn["posemb_at"]) == 7 * 81
    assert len(CELLS) == 8


def test_without_probes_there_is_no_figure(tmp_path):
    assert draw("posemb_similarity", Results(planted(0.6, OTHERS, 0.01), "fewshot/5", "nano"), tmp_path) == []
    assert not list(tmp_path.iterdir())
