"""A run's identity: the whole resolved spec and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from experiments import STUDIES
from vitstudy.study.grid import apply, apply_to_all, fields, product, value_at, vary
from vitstudy.study.identity import canonical_json, run_id, run_name
from vitstudy.study.models import ViTSpec
from vitstudy.study.spec import DataSpec, EvalSpec, FractalSpec, OptimSpec, RunSpec
from vitstudy.study.study import SCALES
from vitstudy.study.timing import spec_from

SPEC = RunSpec(
    model=ViTSpec(
        name="ViT-x/4", image_size=8, in_chans=1, num_classes=3, patch_size=4, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16
    ),
    data=DataSpec(source="digits", minival_size=10, image_size=8),
    optim=OptimSpec(steps=10, batch_size=5, lr=1e-3, weight_decay=0.1, warmup_steps=2),
    eval=EvalSpec(),
    seed=0,
)  # fmt: skip

CHILD = apply(
    SPEC,
    {
        "transfer": {"parents": (SPEC.model_dump(),), "tuning": ()},
        "data.minival_size": 0,
        "eval.fewshot": (),
        "model.prelogits": False,
    },
)

OTHER: dict[str, Any] = {
    "model.family": None, "spec_version": 3, "transfer": None, "seed": 1, "model.name": "ViT-y/4",
    "model.image_size": None, "data.image_size": None, "model.in_chans": 3, "model.num_classes": 4, "model.patch_size": 2,
    "model.hidden_dim": 16, "model.num_layers": 3, "model.num_heads": 4, "model.mlp_dim": 8, "model.posemb": "2d",
    "model.posemb_at": "every-layer", "model.pool": "gap", "model.prelogits": False, "model.dropout": 0.1,
    "data.source": "fashion-mnist", "data.fractals": None, "data.channels": 1, "data.train_size": 5, "data.minival_size": 11,
    "data.crop": "pad", "data.flip": False, "data.test_size": 7, "optim.algorithm": None, "optim.steps": 11,
    "optim.batch_size": 6, "optim.lr": 2e-3, "optim.weight_decay": 0.2, "optim.decay_mask": "kernels",
    "optim.betas": (0.9, 0.99), "optim.eps": 1e-7, "optim.momentum": 0.8, "optim.warmup_steps": 3, "optim.schedule": "cosine",
    "optim.end_lr": 0.0, "optim.clip_norm": None, "optim.loss": "sigmoid", "optim.label_smoothing": 0.1,
    "optim.head_bias_init": -1.0, "optim.early_stopping_every": 5, "eval.fewshot": (1,), "eval.fewshot_sources": ("digits",),
    "eval.fewshot_draws": 4, "eval.fewshot_l2": 1.0, "eval.fewshot_feature": "encoded", "eval.probes": ("posemb_similarity",),
    "eval.batch_size": 10,
}  # fmt: skip


def test_one_identity_is_pinned():
    """If this changes, no result of an older version is found again: raise SPEC_VERSION and say so."""
    assert run_id(SPEC) == "9ad0ea1d4b"
    assert run_name(SPEC) == "vit-x-4-1d-stem-s0-9ad0ea1d4b"


@pytest.mark.parametrize("field", fields(SPEC))
def test_any_field_changes_it(field):
    other = OTHER[field]
    if other is None:  # cannot change alone
        return
    assert run_id(apply(SPEC, {field: other})) != run_id(SPEC)


def test_image_size_changes_it():
    assert run_id(apply(SPEC, {"model.image_size": 16, "data.image_size": 16})) != run_id(SPEC)


def test_the_algorithm_and_the_fractals_change_it():
    assert run_id(apply(SPEC, {"optim.algorithm": "sgd", "optim.weight_decay": 0.0})) != run_id(
        apply(SPEC, {"optim.weight_decay": 0.0})
    )
    fractals = {"data.source": "fractals", "data.test_size": 4, "eval.fewshot": ()}
    worlds = [FractalSpec(classes=3, instances=5, seed=seed).model_dump() for seed in (0, 1)]
    first, second = (apply(SPEC, {**fractals, "data.fractals": world}) for world in worlds)
    assert run_id(first) != run_id(second)


@pytest.mark.parametrize("field", ["seed", "optim.lr", "data.train_size"])
def test_the_parents_identity_is_part_of_the_childs(field):
    parent = apply(SPEC, {field: OTHER[field]})
    other = CHILD.model_copy(update={"transfer": CHILD.transfer.model_copy(update={"parents": (parent,)})})
    assert run_id(other) != run_id(CHILD)
    assert run_id(CHILD) != run_id(CHILD.model_copy(update={"transfer": None}))
    assert run_name(CHILD) == f"vit-x-4-1d-stem-finetune-digits-s0-{run_id(CHILD)}"


def test_a_change_of_all_reaches_parents_and_tuning():
    changed = apply_to_all(CHILD, {"optim.lr": 0.5})
    assert changed.optim.lr == changed.transfer.parents[0].optim.lr == 0.5
    assert changed.data.minival_size == 0


def test_a_changed_default_changes_it():
    class Other(OptimSpec):
        end_lr: float = 1e-6

    optim = Other(**SPEC.optim.model_dump(exclude={"end_lr"}))
    assert run_id(SPEC.model_copy(update={"optim": optim})) != run_id(SPEC)


@given(st.randoms(use_true_random=False))
def test_key_order_and_number_format_do_not_change_it(random):
    def shuffled(value):
        if not isinstance(value, dict):
            return value
        items = list(value.items())
        random.shuffle(items)
        return {key: shuffled(inner) for key, inner in items}

    text = json.dumps(shuffled(SPEC.model_dump(mode="json")), indent=random.choice([None, 1, 4]))
    text = text.replace("0.001", random.choice(["1e-3", "0.001", "1.0e-03"]))
    assert run_id(RunSpec.model_validate(json.loads(text))) == run_id(SPEC)


def test_it_survives_the_disk():
    assert RunSpec.model_validate_json(canonical_json(SPEC)) == SPEC


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_at_every_scale_has_distinct_valid_runs(name, scale):
    runs = STUDIES[name].runs(scale)
    assert len({run_id(spec) for spec in runs}) == len(runs) > 0
    assert len({run_name(spec) for spec in runs}) == len(runs)
    for spec in runs:
        assert spec_from(spec.model_dump()) == spec


@pytest.mark.parametrize("scale", SCALES)
def test_posemb_has_the_eight_cells_of_table_8_for_each_seed(scale):
    runs = STUDIES["posemb"].runs(scale)
    cells = {(spec.model.posemb, spec.model.posemb_at) for spec in runs}
    assert len(cells) == 8
    assert len(runs) == 8 * len({spec.seed for spec in runs})
    rest = {run_id(apply(spec, {"model.posemb": "1d", "model.posemb_at": "stem", "seed": 0})) for spec in runs}
    assert len(rest) == 1  # nothing else differs between the cells


def test_grid_algebra():
    assert product(vary("a", (1, 2)), vary("b", (3, 4))) == (
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    )
    assert value_at(apply(SPEC, {"optim.lr": 0.5, "seed": 3}), "optim.lr") == 0.5


def test_mistakes_name_the_field_the_value_and_what_is_allowed():
    with pytest.raises(ValueError, match=r"unknown field 'optim.lrr'; allowed: .*optim\.lr"):
        apply(SPEC, {"optim.lrr": 1})
    with pytest.raises(ValidationError, match=r"(?s)model.vit.posemb.*'none', '1d', '2d' or 'relative'.*3d"):
        apply(SPEC, {"model.posemb": "3d"})
    with pytest.raises(ValueError, match="image_size 8 is not a multiple of patch_size 3"):
        apply(SPEC, {"model.patch_size": 3})
    with pytest.raises(ValidationError, match="chosen among need a minival"):
        RunSpec.model_validate(
            {**CHILD.model_dump(), "transfer": {"parents": [SPEC.model_dump()], "tuning": [CHILD.model_dump()]}}
        )
    with pytest.raises(ValidationError, match="fewshot must be empty for a tuning run"):
        apply(CHILD, {"data.minival_size": 10, "eval.fewshot": (5,)})
    relative = apply_to_all(CHILD, {"model.posemb": "relative"})
    larger = {"model.image_size": 16, "data.image_size": 16}
    with pytest.raises(ValidationError, match=r"relative offsets of grid \(2, 2\) have no meaning on grid \(4, 4\)"):
        apply(relative, larger)
    assert apply(relative, {**larger, "transfer.posemb": "reset"}).transfer.posemb == "reset"
    with pytest.raises(ValidationError, match="frozen"):
        SPEC.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="colour"):
        DataSpec(**SPEC.data.model_dump(), colour="red")
