"""The first steps of training at scale smoke: a change of model, data, loss or optimiser cannot pass unseen."""

import json

import pytest

from experiments import STUDIES
from experiments.data_scale import SETTINGS
from experiments.families import FAMILIES
from experiments.recipes import pretrain
from tests.runs import drill
from vitstudy.runs.store import Store

# ours, float32 on a CPU; other CPUs differ in the last digits
GOLDEN = {"none": 2.265891, "1d": 2.270328}
FAMILY_GOLDEN = {"vit": 2.295262, "resnet": 2.281425, "hybrid": 2.290116}


@pytest.mark.parametrize("posemb", GOLDEN)
def test_loss_after_twenty_steps(smoke, posemb):
    store = Store(smoke.store)
    spec = next(s for s in STUDIES["posemb"].runs("smoke") if (s.model.posemb, s.model.posemb_at) == (posemb, "stem"))
    rows = [json.loads(line) for line in (store.path(spec) / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 20
    assert rows[-1]["train/loss"] == pytest.approx(GOLDEN[posemb], rel=2e-3)
    assert rows[-1]["train/loss"] < 2.3026  # ln 10, where it started


@pytest.mark.parametrize("model", FAMILIES["smoke"].all, ids=lambda model: model.family)
def test_loss_of_every_family_after_ten_steps(tmp_path, model):
    s, store = SETTINGS["smoke"], Store(tmp_path)
    spec = pretrain(model, s.subsets[-1], s.optim, s.evaluation, 0)
    assert drill.run(store, [spec]) == 0
    loss = [row["train/loss"] for row in drill.outcome(store, spec)["log"] if "train/loss" in row][-1]
    assert loss == pytest.approx(FAMILY_GOLDEN[model.family], rel=2e-3)
    assert loss < 2.3026
