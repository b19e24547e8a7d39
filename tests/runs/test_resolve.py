"""What `auto` becomes: one precision for a whole store; the rest by the shape of the model; nothing that was given."""

import pytest

from experiments.data_scale import SETTINGS
from experiments.families import FAMILIES
from experiments.recipes import pretrain
from vitstudy.runs import resolve
from vitstudy.runs.store import Store
from vitstudy.study.spec import Execution
from vitstudy.training.autotune import combinations

AUTO = Execution(device="cpu", threads=1)
S = SETTINGS["smoke"]
VIT, RESNET, _ = (pretrain(model, S.subsets[0], S.optim, S.evaluation, 0) for model in FAMILIES["smoke"].all)


@pytest.fixture
def asked(monkeypatch):
    """Speeds as invented here: bf16 is faster for a ViT and slower for a ResNet; plain and channels-last are always faster."""
    seen = []

    def measure(spec, execution):
        seen.append((spec.model.family, execution.precision))
        found = combinations(spec.model.family, execution)
        better = "bf16" if spec.model.family == "vit" else "fp32"
        return [
            (c, sum((c["precision"] == better, c["attention"] == "plain", c["layout"] == "channels-last")))
            for c in found
        ]

    monkeypatch.setattr(resolve, "measure", measure)
    return seen


@pytest.mark.parametrize(("first", "second", "precision"), [(VIT, RESNET, "bf16"), (RESNET, VIT, "fp32")])
def test_the_first_run_of_a_store_decides_the_precision_of_all(tmp_path, asked, first, second, precision):
    store = Store(tmp_path)
    found = [resolve.resolve(store, spec, AUTO, store.path(spec)) for spec in (first, second, first)]
    assert {each.precision for each in found} == {precision}
    assert {(each.attention, each.layout) for each in found} == {("plain", "channels-last")}
    assert asked == [(first.model.family, "auto"), *((spec.model.family, precision) for spec in (first, second))]


def test_what_is_given_is_not_measured(tmp_path, asked):
    given = AUTO.model_copy(update={"precision": "fp32", "attention": "fused", "layout": "channels-first"})
    assert resolve.resolve(Store(tmp_path), VIT, given, tmp_path) == given
    assert asked == []
