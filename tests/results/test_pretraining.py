"""What data_scale compares: plain runs, pairs of like FLOPs, sizes in order; the published numbers it is held against."""

import numpy as np
import pytest

from tests.results.planted_data_scale import METRIC, MODELS, SETS, as_published_fewshot, published
from vitstudy.results.data_scale import fewshot_frame, table5_frame
from vitstudy.results.data_scale_claims import last_decade
from vitstudy.results.data_scale_published import best_gaps, similar_within, size_gaps, statement
from vitstudy.results.paper import figure3, figure4, table5
from vitstudy.results.pretraining import Accuracies, fine_tuned, flop_pairs, plain_pretraining, targets, upstreams
from vitstudy.results.report import REPORTS

CLAIMS = [f"C{number}" for number in range(6, 13)]
CLEAR = published(noise=0.002)


def test_figure_4_leaves_regularised_runs_out():
    plain = plain_pretraining(CLEAR, METRIC).rows
    assert set(plain["weight_decay"]) == {0.1}
    assert len(plain) == 3 * (5 * 3 + 3 * len(MODELS))
    smallest = fewshot_frame(CLEAR, METRIC).query(
        "upstream == 'fractals' and upstream_images == 1000 and model == 'ViT-t/4'"
    )
    assert smallest["mean"].iloc[0] == pytest.approx(as_published_fewshot("ViT-t/4", 1000) - 0.15, abs=0.06)


def test_pairs_are_of_like_flops_each_model_once():
    pairs = flop_pairs(fine_tuned(CLEAR, "digits"))
    assert [(a.name, b.name) for a, b in pairs] == [("ViT-t/4", "R14-t"), ("ViT-n/4", "R14-n")]
    far = CLEAR.assign(
        **{"cost/forward_flops": CLEAR["cost/forward_flops"] * np.where(CLEAR["family"] == "vit", 3.0, 1.0)}
    )
    assert [(a.name, b.name) for a, b in flop_pairs(fine_tuned(far, "digits"))] == []


def test_the_upstream_with_most_sizes_and_the_target_of_the_metric_answer():
    lines = upstreams(plain_pretraining(CLEAR, METRIC))
    assert [len(each.sets) for each in lines] == [5, 3]
    assert targets(CLEAR, "fewshot/5/digits") == ["digits", "fashion-mnist"]
    assert targets(CLEAR, "test/acc") == ["fashion-mnist", "digits"]
    assert last_decade(lines[0].sets).images == 5_000
    assert last_decade(lines[1].sets).images == 10_000


def test_models_are_ordered_by_size_whatever_the_order_of_the_rows():
    models = Accuracies(CLEAR.sample(frac=1, random_state=0), METRIC).models
    assert [model.name for model in models] == ["ViT-t/4", "ViT-n/4", "R14-t", "R14-n", "R8+ViT-t/4"]


def test_frames_are_the_tables_numbers():
    frame = table5_frame(CLEAR, METRIC)
    assert len(frame) == 2 * len(SETS) * len(MODELS)
    cell = CLEAR.query("stage == 'finetune' and source == 'digits' and model == 'R14-n' and upstream_images == 10000")
    row = frame.query("target == 'digits' and model == 'R14-n' and upstream_images == 10000").iloc[0]
    assert row["mean"] == pytest.approx(cell["test/acc"].mean())
    assert row["n"] == 3
    assert frame[frame["family"] != "vit"]["difference"].isna().all()
    assert set(fewshot_frame(CLEAR, METRIC)["measure"]) == {METRIC, "fewshot/5/digits"}


def test_sections_have_a_key_each_and_rectangular_rows():
    found = REPORTS["data_scale"](CLEAR, METRIC, "nano")
    assert [section.key for section in found.sections] == ["fewshot", "table5", "paper_figure4", "paper_table5"]
    for section in found.sections:
        assert {len(row) for row in section.rows} == {len(section.headers)}


def test_published_numbers_are_those_of_the_claims():
    gaps = size_gaps()
    assert gaps.loc["16"].to_numpy() == pytest.approx([-0.0138, 0.0118, 0.0297])
    assert gaps.loc["32"].to_numpy() == pytest.approx([-0.0222, -0.0029, 0.0364])
    assert similar_within() == pytest.approx(0.0128)
    assert best_gaps()["JFT-300M"] == pytest.approx(0.8828 - 0.8776)
    assert (len(figure3()), len(figure4()), len(table5())) == (19, 24, 90)
    assert figure4().query("model == 'R152x2'")["paper"].tolist() == pytest.approx([0.5269, 0.6687, 0.6893, 0.6932])
    assert table5()["paper"].isna().sum() == 6
    assert all(statement(claim).startswith("paper: ") for claim in CLAIMS)
