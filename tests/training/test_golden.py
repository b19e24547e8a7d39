"""The first steps of training at scale smoke: a change of model, data, loss or optimiser cannot pass unseen."""

import json

import pytest

from experiments import STUDIES
from vitstudy.runs.store import Store

# ours, float32 on a CPU; other CPUs differ in the last digits
GOLDEN = {"none": 2.265891, "1d": 2.270328}


@pytest.mark.parametrize("posemb", GOLDEN)
def test_loss_after_twenty_steps(smoke, posemb):
    store = Store(smoke.store)
    spec = next(s for s in STUDIES["posemb"].runs("smoke") if (s.model.posemb, s.model.posemb_at) == (posemb, "stem"))
    rows = [json.loads(line) for line in (store.path(spec) / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 20
    assert rows[-1]["train/loss"] == pytest.approx(GOLDEN[posemb], rel=2e-3)
    assert rows[-1]["train/loss"] < 2.3026  # ln 10, where it started
