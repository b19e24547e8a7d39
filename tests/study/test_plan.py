"""The closed formulas of the plan against counting on the meta device, and against the published sizes."""

import pytest

from experiments import STUDIES
from experiments.posemb import CELLS
from vitstudy.models.flops import model_cost
from vitstudy.results.paper import read
from vitstudy.study.grid import apply
from vitstudy.study.plan import DEVICES, forward_flops, parameters, plan, train_flops
from vitstudy.study.spec import ModelSpec

NANO = STUDIES["posemb"].runs("nano")[0]


def vit(size, patch, classes, px=224, **more):
    dim, depth, heads, mlp = {"B": (768, 12, 12, 3072), "L": (1024, 24, 16, 4096), "H": (1280, 32, 16, 5120)}[size]
    return ModelSpec(
        name=f"ViT-{size}/{patch}", image_size=px, in_chans=3, num_classes=classes, patch_size=patch, hidden_dim=dim,
        num_layers=depth, num_heads=heads, mlp_dim=mlp, **more,
    )  # fmt: skip


@pytest.mark.parametrize("px", [28, 56])
@pytest.mark.parametrize("pool", ["cls", "gap"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: "-".join(cell.values()))
def test_formulas_equal_the_count(cell, pool, px):
    spec = apply(NANO, {**cell, "model.pool": pool, "model.image_size": px, "data.image_size": px}).model
    cost = model_cost(spec)
    assert parameters(spec) == cost.params
    assert forward_flops(spec) == cost.forward_flops


@pytest.mark.parametrize("size", ["B", "L", "H"])
def test_table_1_parameters(size):
    published = read("table1_variants.csv").set_index("model")
    name = {"B": "ViT-Base", "L": "ViT-Large", "H": "ViT-Huge"}[size]
    ours = parameters(vit(size, 14 if size == "H" else 16, 1000, prelogits=False)) / 1e6
    assert ours == pytest.approx(float(published.loc[name, "params_millions"]), rel=0.015)


def test_the_exact_size_of_vit_b16():
    assert parameters(vit("B", 16, 1000, prelogits=False)) == 86_567_656


def test_the_price_of_a_grid_is_the_sum_over_its_runs():
    runs = STUDIES["posemb"].runs("paper")
    priced = plan(runs, DEVICES["a100"], devices=8)
    assert priced.runs == 8
    assert priced.images == sum(spec.optim.steps * spec.optim.batch_size for spec in runs)
    assert priced.exaflops == pytest.approx(sum(train_flops(spec) for spec in runs) / 1e18)
    assert priced.hours == pytest.approx(priced.exaflops * 1e18 / (312e12 * 0.35) / 3600 / 8)
    assert priced.device_days == pytest.approx(priced.hours * 8 / 24)
