"""Energy is power over training time alone, from whatever the device reports; a peak is measured once per store."""

import pytest
import torch

from vitstudy.files import read_json
from vitstudy.runs import metering, peak
from vitstudy.runs.measured import measured_once
from vitstudy.runs.metering import Meter
from vitstudy.study.spec import Execution


class Time:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Time()
    monkeypatch.setattr(metering, "time", clock)
    return clock


def counters(root, *values):
    """Processor packages, and a part of one, which its package includes."""
    for name, value in zip(("intel-rapl:0", "intel-rapl:1"), values, strict=True):
        (root / name).mkdir(exist_ok=True)
        (root / name / "energy_uj").write_text(f"{value}\n")
        (root / name / "max_energy_range_uj").write_text("1000000000\n")
    (root / "intel-rapl:0:0").mkdir(exist_ok=True)
    (root / "intel-rapl:0:0" / "energy_uj").write_text("999\n")


def test_energy_of_a_cpu_is_what_its_counters_gained_over_training_alone(clock, monkeypatch, tmp_path):
    monkeypatch.setattr(metering, "POWERCAP", tmp_path)
    counters(tmp_path, 0, 990_000_000)
    meter = Meter()
    clock.now = 5.0
    meter.watch("cpu")
    clock.now = 15.0  # 10 s at 30 W + 10 W, all of it training; the second counter wraps around
    counters(tmp_path, 300_000_000, 90_000_000)
    meter.sample(10.0)
    clock.now = 35.0  # 20 s at 50 W, half of it evaluation
    counters(tmp_path, 1_300_000_000, 90_000_000)
    assert meter.cost(20.0) == {"total_seconds": 35.0, "energy_joules": 400.0 + 500.0}


def test_counters_that_may_not_be_read_or_vanish_give_no_energy_and_no_error(clock, monkeypatch, tmp_path):
    monkeypatch.setattr(metering, "POWERCAP", tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir(parents=True)  # whoever reads it fails, root too
    meter = Meter()
    meter.watch("cpu")
    assert meter.cost(1.0) == {"total_seconds": 0.0}
    (tmp_path / "intel-rapl:0" / "energy_uj").rmdir()
    counters(tmp_path, 0, 0)
    meter.watch("cpu")
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    meter.sample(2.0)
    assert meter.cost(3.0) == {"total_seconds": 0.0}


def test_energy_of_a_gpu_is_the_power_it_reports_times_the_training_since(clock, monkeypatch):
    power = iter([1e5, 2e5, 3e5])  # mW; the first is asked for only to see whether there is an answer
    monkeypatch.setattr(torch.cuda, "power_draw", lambda: next(power))
    meter = Meter()
    meter.watch("cuda")
    meter.sample(4.0)
    assert meter.cost(6.0)["energy_joules"] == pytest.approx(200 * 4 + 300 * 2)


def test_where_nothing_is_reported_there_is_no_energy_and_no_error(monkeypatch, tmp_path):
    def broken():
        raise ModuleNotFoundError("No module named 'pynvml'")

    monkeypatch.setattr(metering, "POWERCAP", tmp_path)
    monkeypatch.setattr(torch.cuda, "power_draw", broken)
    for device in ("cpu", "cuda"):
        meter = Meter()
        meter.watch(device)
        meter.sample(1.0)
        assert set(meter.cost(2.0)) == {"total_seconds"}


def test_what_was_measured_once_is_kept(tmp_path):
    assert measured_once(tmp_path, "a key, with signs", lambda: {"value": 1}) == {"value": 1}
    assert measured_once(tmp_path, "a key, with signs", lambda: {"value": 2}) == {"value": 1}
    assert [read_json(file) for file in (tmp_path / "autotune").iterdir()] == [{"value": 1}]


def test_of_two_workers_that_measure_at_once_the_first_counts_for_both(tmp_path):
    def slow():
        measured_once(tmp_path, "key", lambda: {"value": "first"})
        return {"value": "second"}

    assert measured_once(tmp_path, "key", slow) == {"value": "first"}


def test_a_peak_is_measured_for_each_precision_and_follows_the_clock(monkeypatch, tmp_path):
    ticks = iter(range(10**6))
    monkeypatch.setattr(peak.time, "perf_counter", lambda: next(ticks) / 1000)  # a product takes one tick
    fp32 = Execution(device="cpu", precision="fp32")
    assert peak.stored_peak(tmp_path, fp32) == pytest.approx(2 * 256**3 / 1e-3)
    monkeypatch.setattr(peak, "matmul_peak", lambda *_: 7.0)
    assert peak.stored_peak(tmp_path, fp32) == pytest.approx(2 * 256**3 / 1e-3)
    assert peak.stored_peak(tmp_path, fp32.model_copy(update={"precision": "bf16"})) == 7.0
