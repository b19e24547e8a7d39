"""Parents and children: what is needed runs first and once; choices are made on minival; a kill anywhere changes nothing."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from experiments.data_scale import fractals
from experiments.families import FAMILIES
from experiments.recipes import Finetuning, Target, finetune, pretrain
from tests.runs import drill
from vitstudy.data import sources
from vitstudy.files import read_json, write_json
from vitstudy.runs import lineage
from vitstudy.runs.store import Store, StoreError
from vitstudy.study.identity import run_id
from vitstudy.study.spec import DataSpec, EvalSpec, OptimSpec
from vitstudy.study.study import with_needs

OPTIM = OptimSpec(steps=12, batch_size=20, lr=5e-3, weight_decay=0.1, warmup_steps=2, early_stopping_every=3)
DATA = DataSpec(source="digits", train_size=100, minival_size=100, image_size=20)
EVALUATION = EvalSpec(fewshot_sources=("digits",), fewshot_draws=2)
TARGET = Target("digits", 10, dev=100, steps=8, rates=(0.001, 0.05))
HOW = Finetuning(image_size=28, batch_size=20, warmup=0.0)
VIT, RESNET = FAMILIES["smoke"].vit[0], FAMILIES["smoke"].resnet[0]


def family(model=VIT, data=DATA):
    """A pre-training run, and its transfer with two tuning runs."""
    parent = pretrain(model, data, OPTIM, EVALUATION, 0)
    return parent, finetune((parent,), TARGET, HOW, 0)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, lease_ttl_s=0.4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    store, (parent, child) = Store(tmp_path_factory.mktemp("family")), family()
    assert drill.run(store, list(with_needs([child]))) == 0
    return store, [drill.outcome(store, run) for run in (parent, child)]


def test_parents_come_first_and_nothing_twice():
    parent, child = family()
    runs = with_needs([child, parent, child])
    assert runs == (parent, *child.transfer.tuning, child)
    assert [run.stage for run in runs] == ["pretrain", "tune", "tune", "finetune"]


@pytest.mark.parametrize("fault", ["after-step:5", "after-step:12", "before-result", "during-checkpoint:4"])
@pytest.mark.parametrize("who", ["parent", "child"])
def test_killed_and_resumed_equals_uninterrupted(store, whole, who, fault):
    parent, child = family()
    if who == "child":
        assert drill.run(store, list(with_needs([*child.needs]))) == 0
        fault = fault.replace(":12", ":8")
    runs = list(with_needs([parent if who == "parent" else child]))
    assert drill.run(store, runs, fault) == -9
    assert drill.run(store, list(with_needs([child]))) == 0
    assert [drill.outcome(store, run) for run in (parent, child)] == whole[1]


def test_the_best_weights_on_minival_are_kept(whole):
    store, (parent, _) = whole[0], family()
    rows = [row for row in drill.outcome(store, parent)["log"] if "minival/acc" in row]
    assert [row["step"] for row in rows] == [3, 6, 9, 12]
    best = max(rows, key=lambda row: row["minival/acc"])
    metrics = store.result(parent)["metrics"]
    assert metrics["minival/acc"] == best["minival/acc"]
    assert metrics["train/best_step"] == best["step"]


def test_the_child_takes_the_best_rate_and_the_parents_body(whole):
    store, (parent, child) = whole[0], family()
    found = store.result(child)["transfer"]
    tried = {run_id(run): store.result(run)["metrics"]["minival/acc"] for run in child.transfer.tuning}
    assert found["minival"] == tried
    best = max(child.transfer.tuning, key=lambda run: tried[run_id(run)])
    assert found["lr"] == best.optim.lr
    assert found["parent"] == run_id(parent)
    rates = [row["lr"] for row in drill.outcome(store, child)["log"]]
    assert max(rates) == best.optim.lr
    assert store.result(child)["cost"]["pretrain_flops"] == store.result(parent)["cost"]["train_flops"]


def test_tuning_runs_open_no_test_set(whole):
    store, (_, child) = whole[0], family()
    for run in child.transfer.tuning:
        assert set(store.result(run)["metrics"]) == {"minival/acc", "train/loss"}
        assert not (store.path(run) / "predictions.npz").exists()


def test_the_test_set_is_opened_only_after_the_last_step(store, monkeypatch):
    from vitstudy.data import dataset
    from vitstudy.evaluation import final
    from vitstudy.runs import execute
    from vitstudy.study.spec import Execution

    events = []
    for module in (dataset, final):
        original = module.load

        def spy(name, size=224, original=original):
            train, test = original(name, size)
            return train, Watched(test, events)

        monkeypatch.setattr(module, "load", spy)
    trained = execute.train
    monkeypatch.setattr(execute, "train", lambda *a, **k: (trained(*a, **k), events.append("trained"))[0])
    parent, _ = family()
    with store.leases.claim(run_id(parent)) as lease:
        assert execute.execute(store, parent, Execution(**drill.EXECUTION.model_dump()), lease, lambda: False) == 0
    assert events[0] == "trained"
    assert "opened" in events


class Watched:
    """A test set that tells when its pixels are asked for."""

    def __init__(self, images, events):
        self.images, self.events = images, events

    def __len__(self):
        return len(self.images)

    def __getattr__(self, name):
        if name in ("pixels", "pixels_at", "take", "pixel_hashes"):
            self.events.append("opened")
        return getattr(self.images, name)


def test_dev_split_and_train_are_disjoint_and_the_final_run_uses_all():
    from vitstudy.data.subset import split

    images = sources.load("digits")[0]
    _, child = family()
    dev = split(images, child.transfer.tuning[0].data)
    assert not set(dev.train) & set(dev.minival)
    assert len(dev.minival) == TARGET.dev
    assert sorted(split(images, child.data).train) == list(range(len(images)))


def test_children_of_a_failed_parent_are_marked_and_not_run(store):
    parent, child = family(data=DATA.model_copy(update={"train_size": 5_000}))  # more than there are
    assert drill.run(store, list(with_needs([child]))) == 0
    assert store.state(parent) == "failed"
    for run in (child, *child.transfer.tuning):
        assert store.state(run) == "failed"
        assert store.status(run)["error"].startswith("not run: it needs ")
        assert not (store.path(run) / "metrics.jsonl").exists()


def test_a_parents_changed_weights_are_refused(whole, tmp_path):
    parent, _ = family()
    store = Store(tmp_path)
    path = store.create(parent)
    write_json(path / "result.json", read_json(whole[0].path(parent) / "result.json"))
    (path / "weights.safetensors").write_bytes(b"something else")
    with pytest.raises(StoreError, match=r"weights.safetensors: SHA-256 is .*its result says"):
        lineage.weights(store, parent)
    with pytest.raises(StoreError, match="needed, and not done"):
        lineage.needed(Store(tmp_path / "empty"), parent)


@pytest.mark.parametrize("model", FAMILIES["smoke"].all, ids=lambda model: model.family)
def test_every_family_goes_from_fractals_to_real_images(store, model):
    parent, child = family(model, fractals(3, 20, points=200, image_size=20, minival_size=20, test_size=20))
    assert drill.run(store, list(with_needs([child]))) == 0
    before, after = (load_file(store.path(run) / "weights.safetensors") for run in (parent, child))
    same = [name for name in after if name in before and after[name].shape == before[name].shape]
    assert any(np.abs(after[name] - before[name]).max() > 0 for name in same)
    assert store.result(parent)["metrics"]["fewshot/5/digits"] > 0
    assert store.result(child)["overlap"] == {"digits": 0}
