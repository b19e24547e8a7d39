"""The store refuses what it cannot trust, and says which file and why."""

import os

import pytest

from experiments import STUDIES
from vitstudy.files import read_json, write_atomic, write_json
from vitstudy.runs.store import Store, StoreError
from vitstudy.study.identity import run_id

SPEC = STUDIES["posemb"].runs("smoke")[0]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def test_nothing_is_written_before_it_is_needed(store):
    assert store.state(SPEC) == "planned"
    assert store.result(SPEC) is None
    assert not store.root.exists()


@pytest.mark.parametrize("changed", [{"seed": 7}, {"seed": "seven"}, {"colour": "red"}])
def test_a_tampered_spec_is_refused(store, changed):
    path = store.create(SPEC)
    write_json(path / "spec.json", {**read_json(path / "spec.json"), **changed})
    with pytest.raises(StoreError, match=r"spec\.json"):
        store.create(SPEC)


def test_a_truncated_result_is_refused_not_taken_for_missing(store):
    path = store.create(SPEC)
    (path / "result.json").write_text('{"run_id": "')
    with pytest.raises(StoreError, match=r"result\.json: not valid JSON"):
        store.result(SPEC)


def test_a_result_of_another_run_is_refused(store):
    path = store.create(SPEC)
    write_json(path / "result.json", {"run_id": "0123456789"})
    with pytest.raises(StoreError, match=f"belongs to run 0123456789, not {run_id(SPEC)}"):
        store.result(SPEC)


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot be written .*--store DIR"):
        Store(tmp_path / "file" / "runs").check_writable()
    with pytest.raises(StoreError, match=r"cannot be written .*--store DIR"):
        Store(tmp_path / "file" / "runs").create(SPEC)


def test_running_without_a_lease_is_interrupted(store):
    store.create(SPEC)
    store.set_status(SPEC, "running", step=3)
    assert store.state(SPEC) == "interrupted"
    with store.leases.claim(run_id(SPEC)):
        assert store.state(SPEC) == "running"


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_content_and_no_debris(tmp_path, monkeypatch, call):
    file = tmp_path / "facts.json"
    write_json(file, {"a": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif call == "replace":
        monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(file, full if call == "write" else lambda out: out.write(b"half"))
    assert read_json(file) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_json_that_other_readers_would_refuse_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())
