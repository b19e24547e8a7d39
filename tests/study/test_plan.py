"""The price of a grid is the sum over its runs, for every study at every scale; devices say where their numbers come from."""

import pandas as pd
import pytest

from experiments import STUDIES
from tests.conftest import ROOT
from vitstudy.study.cost import train_flops
from vitstudy.study.plan import DEVICES, measured_device, plan, timing_seconds
from vitstudy.study.spec import RunSpec
from vitstudy.study.study import SCALES
from vitstudy.study.timing import TimingSpec

PAPER = ROOT / "analysis" / "paper"


def test_the_price_of_a_grid_is_the_sum_over_its_runs():
    runs = STUDIES["posemb"].runs("paper")
    priced = plan(runs, DEVICES["a100"], devices=8)
    assert priced.runs == 8
    assert priced.images == sum(spec.optim.steps * spec.optim.batch_size for spec in runs)
    assert priced.exaflops == pytest.approx(sum(train_flops(spec) for spec in runs) / 1e18)
    assert priced.hours == pytest.approx(priced.exaflops * 1e18 / (312e12 * 0.35) / 3600 / 8)
    assert priced.device_days == pytest.approx(priced.hours * 8 / 24)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_a_price_at_every_scale(name, scale):
    runs = STUDIES[name].runs(scale)
    priced = plan(runs, DEVICES["tpuv3-core"])
    trained = [spec for spec in runs if isinstance(spec, RunSpec)]
    assert priced.runs == len(runs)
    assert priced.hours > 0
    assert priced.memory_gb > 0
    assert (priced.exaflops > 0) == (priced.disk_gb > 0) == bool(trained)


def test_a_timing_run_is_priced_by_its_own_limits():
    spec = TimingSpec(
        model=STUDIES["posemb"].runs("nano")[0].model, batch_sizes=(1, 8), seconds=2, search_seconds=20, seed=0
    )
    assert timing_seconds(spec) == 24
    priced = plan([spec], DEVICES["a100"])
    assert priced.hours == pytest.approx(24 / 3600)
    assert priced.exaflops == priced.images == 0


def test_devices_name_their_sources_and_shares_are_shares():
    for device in DEVICES.values():
        assert 0 < device.mfu < 1
        assert device.rate == device.peak * device.mfu
        assert "ours" in device.source or "peak: " in device.source


def test_the_tpu_share_is_the_papers_own():
    """ViT-H/14: exaFLOPs of Table 6 over core-days of Table 2; 61.5 TFLOP/s is half a chip's peak."""
    exaflops = pd.read_csv(PAPER / "table6_scaling.csv").set_index("name").loc["ViT-H/14", "exaflops"]
    days = pd.read_csv(PAPER / "table2_sota.csv").set_index("model").loc["Ours-JFT ViT-H/14", "tpuv3_core_days"]
    device = DEVICES["tpuv3-core"]
    assert device.rate == pytest.approx(exaflops * 1e18 / (days * 86400), rel=0.02)


def test_a_measured_device_is_the_faster_precision():
    device = measured_device("here", {"fp32": 9e10, "bf16": 2e8}, 0.2)
    assert device.rate == pytest.approx(1.8e10)
    assert device.name == "here, fp32"
    assert "fp32 90 GFLOP/s, bf16 0.2 GFLOP/s" in device.source
