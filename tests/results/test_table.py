"""One documented row per planned run, finished or not."""

import json

import pandas as pd
import pytest

from experiments import STUDIES
from vitstudy.files import read_json
from vitstudy.results.provenance import environments
from vitstudy.results.table import collect, load_probe, meaning
from vitstudy.runs.store import Store

STUDY = STUDIES["posemb"]
RUNS = STUDY.runs("smoke")


def test_every_planned_run_has_a_row_and_every_column_a_meaning(smoke, tmp_path):
    found = collect(Store(smoke.store), RUNS, STUDY.factors)
    assert len(found) == 16
    assert set(found["state"]) == {"done"}
    for column in found.columns:
        assert column in STUDY.factors or meaning(column)
    nothing = collect(Store(tmp_path), RUNS, STUDY.factors)
    assert set(nothing["state"]) == {"planned"}
    assert len(nothing) == 16


def test_values_are_those_of_the_files(smoke):
    store = Store(smoke.store)
    found = collect(store, RUNS, STUDY.factors).set_index("run")
    for spec in RUNS:
        result = read_json(store.path(spec) / "result.json")
        row = found.loc[store.path(spec).name]
        assert row["test/acc"] == result["metrics"]["test/acc"]
        assert row["cost/params"] == result["cost"]["params"]
        assert row["posemb"] == spec.model.posemb


def test_accuracy_is_that_of_the_kept_predictions(smoke):
    import numpy as np

    for spec in RUNS[:3]:
        path = Store(smoke.store).path(spec)
        kept = np.load(path / "predictions.npz")
        assert read_json(path / "result.json")["metrics"]["test/acc"] == (kept["predicted"] == kept["label"]).mean()


def test_probes_exist_where_there_is_a_position_embedding(smoke):
    arrays = load_probe(Store(smoke.store), RUNS, "posemb_similarity")
    assert len(arrays) == 14  # none has nothing to compare
    assert {array.shape for array in arrays.values()} == {(7, 7, 7, 7)}


def test_environments_say_where_the_numbers_came_from_and_name_no_path(smoke):
    found = environments(Store(smoke.store), RUNS)
    assert sum(len(each["runs"]) for each in found) == 16
    for each in found:
        assert each["libraries"]["torch"]
        assert each["execution"]["precision"] in ("fp32", "bf16")
        assert str(smoke.store.parent) not in json.dumps(each)


def test_a_factor_may_not_hide_a_column(tmp_path):
    with pytest.raises(ValueError, match="factor 'steps'"):
        collect(Store(tmp_path), RUNS, {"steps": "optim.lr"})
    assert isinstance(collect(Store(tmp_path), RUNS, {"steps": "optim.steps"}), pd.DataFrame)
