"""Estimates of finished runs are within 25 % of what they took; other machines and strangers of another size do not count."""

from collections import Counter
from io import StringIO
from pathlib import Path
from random import Random

import pandas as pd
import pytest

from experiments import STUDIES
from tests.conftest import committed
from vitstudy.files import write_json
from vitstudy.runs.estimate import ASSUMED_OVERHEAD, Estimate, finished_runs
from vitstudy.runs.store import Store
from vitstudy.study.cost import forward_flops, train_flops
from vitstudy.study.grid import apply
from vitstudy.study.identity import run_id
from vitstudy.study.plan import Device
from vitstudy.study.study import with_needs
from vitstudy.study.timing import TimingSpec

ASSUMED = Device("an assumed core", 1e11, 0.4, "assumed")
RUNS = STUDIES["data_scale"].runs("nano")
RATES = {"vit": 1.6e10, "resnet": 2.4e10, "hybrid": 2.0e10}
IMAGES = {"pretrain": 20000, "tune": 2000, "finetune": 10000}
"""The planted law: training FLOP/s of each family, and forward passes that start and evaluation are worth at that rate."""


def took(spec) -> tuple[float, float]:
    """Seconds of training, and of all."""
    rate = RATES[spec.model.family]
    training = train_flops(spec) / rate
    return training, training + IMAGES[spec.stage] * forward_flops(spec.model) / rate


def plant(store: Store, spec, train: float, total: float | None, ended: float, cpu: str = "a CPU", threads: int = 1):
    path = store.create(spec)
    cost = {"train_seconds": train} | ({} if total is None else {"total_seconds": total})
    execution = {"device_name": cpu, "threads": threads}
    write_json(path / "result.json", {"run_id": run_id(spec), "cost": cost, "execution": execution})
    write_json(path / "status.json", {"state": "done", "time": ended})


@pytest.fixture(scope="module")
def noisy(tmp_path_factory) -> Store:
    """Every second run of a study, its time off by up to 10 %; of five runs of a model, one took three times as long."""
    store, random, seen = Store(tmp_path_factory.mktemp("noisy")), Random(0), Counter()
    for i, spec in enumerate(RUNS[::2]):
        seen[spec.model] += 1
        factor = random.uniform(0.9, 1.1) * (3 if seen[spec.model] % 5 == 0 else 1)
        train, total = took(spec)
        plant(store, spec, factor * train, factor * total, ended=float(i))
    return store


def test_finished_runs_left_out_one_at_a_time_are_estimated_within_a_quarter(noisy):
    finished = finished_runs(noisy)
    assert len(finished) == len(RUNS[::2])
    for i, run in enumerate(finished):
        estimate = Estimate(finished[:i] + finished[i + 1 :], ASSUMED)
        assert estimate(run.spec) == pytest.approx(took(run.spec)[1], rel=0.25)


@pytest.mark.parametrize("study", ["posemb", "shape", "compute"])
def test_what_the_last_seed_of_the_committed_runs_took_is_estimated_within_a_quarter_from_the_other_seeds(
    study, tmp_path
):
    """Real times, of a machine that was not equally fast at all times: the sum over a seed's runs."""
    table = pd.read_csv(StringIO(committed(f"analysis/tables/nano/{study}_runs.csv"))).set_index("run_id")
    runs = {spec: table.loc[run_id(spec)] for spec in with_needs(STUDIES[study].runs("nano"))}
    assert len(runs) == len(table)
    last = max(spec.seed for spec in runs)
    store = Store(tmp_path)
    for i, (spec, row) in enumerate(runs.items()):
        if spec.seed < last:
            plant(store, spec, float(row["cost/train_seconds"]), float(row["cost/total_seconds"]), ended=float(i))
    estimate = Estimate(finished_runs(store), ASSUMED)
    left = {spec: float(row["cost/total_seconds"]) for spec, row in runs.items() if spec.seed == last}
    assert len(left) > 5
    assert sum(map(estimate, left)) == pytest.approx(sum(left.values()), rel=0.25)


def test_runs_that_are_not_finished_are_estimated_within_a_quarter_and_the_basis_is_said(noisy):
    estimate, left = Estimate(finished_runs(noisy), ASSUMED), RUNS[1::2]
    for spec in left:
        assert estimate(spec) == pytest.approx(took(spec)[1], rel=0.25)
    assert estimate.basis(left) == f"from {len(RUNS[::2])} finished runs on a CPU, 1 thread(s)"


def test_without_finished_runs_the_device_is_assumed_and_named():
    estimate = Estimate((), ASSUMED)
    training = train_flops(RUNS[0]) / 4e10
    assert estimate(RUNS[0]) == pytest.approx(training + ASSUMED_OVERHEAD[0] + ASSUMED_OVERHEAD[1] * training)
    assert estimate.basis(RUNS[:3]) == "assumed: an assumed core at MFU 40%"


def test_a_run_without_a_total_gets_the_assumed_overhead(tmp_path):
    store = Store(tmp_path)
    plant(store, RUNS[0], 10.0, None, ended=1.0)
    again = apply(RUNS[0], {"seed": 77})
    assert Estimate(finished_runs(store), ASSUMED)(again) == pytest.approx(10 + 1 + 2)


def test_only_the_machine_that_finished_last_counts(tmp_path):
    store, spec = Store(tmp_path), RUNS[0]
    seeds = [apply(spec, {"seed": seed}) for seed in range(10, 15)]
    for seed in seeds[:3]:
        plant(store, seed, 100.0, 110.0, ended=1.0, cpu="an old CPU")
    plant(store, seeds[3], 20.0, 25.0, ended=2.0)
    assert Estimate(finished_runs(store), ASSUMED)(seeds[4]) == pytest.approx(25)


def test_a_machine_that_slowed_down_is_believed(tmp_path):
    store, spec = Store(tmp_path), RUNS[0]
    seeds = [apply(spec, {"seed": seed}) for seed in range(10, 26)]
    for i, seed in enumerate(seeds[:15]):
        plant(store, seed, 20.0 if i < 10 else 60.0, 25.0 if i < 10 else 75.0, ended=float(i))
    assert Estimate(finished_runs(store), ASSUMED)(seeds[15]) == pytest.approx(75)


def test_a_model_of_quite_another_size_says_nothing(tmp_path):
    store = Store(tmp_path)
    plant(store, RUNS[0], 10.0, 12.0, ended=1.0)
    estimate, huge = Estimate(finished_runs(store), ASSUMED), STUDIES["data_scale"].runs("paper")[0]
    assert estimate.alike(huge) == []
    assert (
        estimate.basis([RUNS[0], huge])
        == "1 runs from finished ones on a CPU, 1 thread(s), 1 assumed: an assumed core at MFU 40%"
    )


def test_timing_runs_take_the_share_of_their_limits_that_finished_ones_took(tmp_path):
    def timing(seed: int, seconds: float) -> TimingSpec:
        return TimingSpec(model=RUNS[0].model, batch_sizes=(1, 8), seconds=seconds, search_seconds=20, seed=seed)

    store = Store(tmp_path)
    path = store.create(timing(0, 5))
    execution = {"device_name": "a CPU", "threads": 2}
    result = {"run_id": run_id(timing(0, 5)), "cost": {"timing_seconds": 15.0}, "execution": execution}
    write_json(path / "result.json", result)
    estimate = Estimate(finished_runs(store), ASSUMED)
    assert estimate(timing(1, 10)) == pytest.approx(20)  # half of 2 x 10 + 20
    assert estimate.alike(RUNS[0]) == []
    assert Estimate((), ASSUMED)(timing(1, 10)) == 40
    assert Estimate((), ASSUMED).basis([timing(1, 10)]) == "the limits that timing runs set themselves"
    for ended in (-1.0, 1.0):  # a training run, before and after, that had one of the two threads
        plant(store, RUNS[0], 10.0, 12.0, ended=ended)
        estimate = Estimate(finished_runs(store), ASSUMED)
        assert estimate(timing(1, 10)) == pytest.approx(20)
        assert estimate(apply(RUNS[0], {"seed": 77})) == pytest.approx(12)
        assert estimate.basis([timing(1, 10)]) == "from 1 finished runs on a CPU, 2 thread(s)"


def test_directories_that_cannot_be_read_are_passed_over(tmp_path):
    store = Store(tmp_path)
    plant(store, RUNS[0], 10.0, 12.0, ended=1.0)
    (tmp_path / "of-another-version").mkdir()
    (tmp_path / "of-another-version" / "spec.json").write_text('{"spec_version": 0}')
    (tmp_path / "of-another-version" / "result.json").write_text("{}")
    assert [run.spec for run in finished_runs(store)] == [RUNS[0]]
    assert finished_runs(Store(Path(tmp_path / "none"))) == ()
