"""`--budget` as a user types it: what `plan` says would run, what `run` runs, and what both say was left out."""

import json
import re

import pytest

from experiments import STUDIES
from tests.conftest import vitstudy
from vitstudy.cli import pricing
from vitstudy.files import write_json
from vitstudy.runs.estimate import Finished
from vitstudy.runs.store import Store
from vitstudy.study.budget import cells
from vitstudy.study.identity import run_id
from vitstudy.study.plan import DEVICES

GRID = STUDIES["posemb"].build("smoke", None)
CELLS = cells(GRID)


@pytest.fixture
def store(tmp_path):
    """The first cell is finished; each of its runs took 100 s of training and 120 s in all."""
    store = Store(tmp_path / "runs")
    for spec in CELLS[0]:
        cost = {"train_seconds": 100.0, "total_seconds": 120.0}
        execution = {"device_name": "a CPU", "threads": 1}
        write_json(store.create(spec) / "result.json", {"run_id": run_id(spec), "cost": cost, "execution": execution})
        store.set_status(spec, "done")
    return store


def test_plan_prices_what_is_left_from_what_is_finished_and_chooses_what_fits(store):
    words = ("plan", "posemb", "--scale", "smoke", "--store", store.root)
    facts = json.loads(vitstudy(*words, "--budget", "17min", "--devices", 2, "--json").stdout)
    assert facts["left"]["runs"] == len(GRID) - 2
    assert facts["left"]["hours"] == pytest.approx((len(GRID) - 2) * 120 / 2 / 3600, rel=0.1)  # kinds differ in FLOPs
    assert facts["left"]["basis"] == "from 2 finished runs on a CPU, 1 thread(s)"
    assert facts["budget"]["hours"] <= 17 / 60
    assert facts["budget"]["left_out_runs"] == 0
    text = vitstudy(*words, "--budget", "5min", "--devices", 1).stdout
    assert re.search(r"budget +5min: 4 runs fit, about 4 min; left out: 6 cells, 12 runs, about .* of work", text)
    assert text.count("left out: vit") == 6
    assert "2 seed(s), 4 min of work" in text


def test_named_hardware_prices_the_whole_study(store):
    words = ("plan", "posemb", "--scale", "smoke", "--store", store.root, "--device", "t4", "--json")
    left = json.loads(vitstudy(*words).stdout)["left"]
    assert left["runs"] == len(GRID)
    assert left["basis"] == "assumed: NVIDIA T4, fp32 at MFU 50%"


def test_run_runs_that_part_alone(store):
    words = ("--scale", "smoke", "--store", store.root, "--jobs", 2, "--wandb", "off", "--no-report")
    quick = ("--precision", "fp32", "--attention", "plain", "--layout", "channels-last")  # nothing to find out first
    done = vitstudy("run", "posemb", *words, *quick, "--budget", "2.5min")
    assert "estimates: from 2 finished runs on a CPU, 1 thread(s)" in done.stdout
    assert "2.5min: 4 runs fit, about 2 min; left out: 6 cells, 12 runs" in done.stdout
    assert [cell for cell in CELLS if all(map(store.is_done, cell))] == [CELLS[0], CELLS[1]]
    assert sum(map(store.is_done, GRID)) == 4


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_budget_that_is_no_time_or_too_small_is_refused(verb, tmp_path):
    words = (verb, "posemb", "--scale", "smoke", "--store", tmp_path / "runs")
    assert (
        "--budget '8x' is no time; write a number above 0 and a unit"
        in vitstudy(*words, "--budget", "8x", code=2).stderr
    )
    assert not list(tmp_path.iterdir())
    assert "--budget 0.01s: not one cell fits" in vitstudy(*words, "--budget", "0.01s", code=2).stderr


def test_a_plan_says_the_range_of_steps():
    assert "(5 to 10 steps of 20 images each)" in vitstudy("plan", "compute", "--scale", "smoke").stdout


@pytest.mark.parametrize("scale", ["nano", "mini"])
def test_in_compute_the_families_take_turns(scale):
    models = list(dict.fromkeys(runs[0].upstream.model for runs in cells(STUDIES["compute"].build(scale, None))))
    for i in range(0, len(models), 3):  # so a part of the grid can compare families of like size
        assert {model.family for model in models[i : i + 3]} == {"vit", "resnet", "hybrid"}


def test_the_machine_is_measured_only_for_runs_that_no_finished_run_is_like(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(pricing, "measure_here", lambda: measured.append(1) or DEVICES["h100"])
    spec = STUDIES["shape"].runs("smoke")[0]
    monkeypatch.setattr(pricing, "finished_runs", lambda store: (Finished(spec, "a CPU", 1.0, 2.0, 1.0),))
    store, stranger = Store(tmp_path), STUDIES["shape"].runs("paper")[0]
    assert pricing.estimate_of(store, [spec], None)(spec) == pytest.approx(3.0)
    assert not measured
    estimate = pricing.estimate_of(store, [spec, stranger], None)
    assert measured == [1]
    assert estimate.assumed == DEVICES["h100"]
    assert pricing.estimate_of(store, [stranger], DEVICES["t4"]).assumed == DEVICES["t4"]
    assert measured == [1]
