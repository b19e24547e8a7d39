"""Timing runs: what is measured is what is published; the search finds a planted limit, and a child that dies is an answer."""

import json
import os
import signal
import time
from functools import partial
from multiprocessing import forkserver

import pytest
import torch

from experiments import STUDIES
from tests.conftest import vitstudy
from tests.runs import drill  # noqa: F401  its preloads come first, see server
from vitstudy.evaluation.memory import memory_limit, peak_memory
from vitstudy.evaluation.timing import Inference, Largest, images_per_s, largest_batch
from vitstudy.results.report import REPORTS
from vitstudy.results.table import collect, meaning
from vitstudy.runs import timing, tracking
from vitstudy.runs.execute import DONE, FAILED, INTERRUPTED, execute
from vitstudy.runs.store import Store, StoreError
from vitstudy.study.grid import apply, apply_to_all
from vitstudy.study.identity import canonical_json, run_id, run_name
from vitstudy.study.models import ViTSpec
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.study.timing import TimingSpec, spec_from

STUDY = STUDIES["timing"]
EXECUTION = Execution(device="cpu", threads=1, attention="plain", layout="channels-last")
SPECS = [
    apply(spec, {"batch_sizes": (1, 2), "seconds": 1e-3, "largest_batch": 4, "search_seconds": 60.0})
    for spec in STUDY.runs("smoke")
    if spec.model.image_size == 20
]


@pytest.fixture(scope="module", autouse=True)
def server():
    """All tests of a process share one fork server: start it with what the drills, imported above, want loaded."""
    forkserver.ensure_running()


def do(store, spec, should_stop=lambda: False):
    with store.leases.claim(run_id(spec)) as lease:
        return execute(store, spec, EXECUTION, lease, should_stop)


@pytest.fixture(scope="module")
def done(tmp_path_factory, server):
    store = Store(tmp_path_factory.mktemp("timing"))
    assert [do(store, spec) for spec in SPECS] == [DONE] * 4
    return store


def test_a_result_is_the_best_of_what_was_measured(done):
    for spec in SPECS:
        result = done.result(spec)
        speeds, metrics = result["speeds"], result["metrics"]
        assert set(speeds) == {"1", "2"}
        assert metrics["timing/images_per_s"] == max(speeds.values()) == speeds[str(metrics["timing/best_batch"])]
        assert metrics["timing/max_batch"] == 4
        assert metrics["timing/memory_limit_bytes"] == spec.memory_limit
        assert (done.path(spec) / "env.json").exists()
        assert done.state(spec) == "done"
        assert done.read_spec(done.path(spec)) == spec


def test_table_report_and_mirror_take_it(done):
    table = collect(done, SPECS, STUDY.factors)
    assert all(meaning(column) for column in table.columns)
    assert set(table["stage"]) == {"timing"}
    assert set(table["image_size"]) == {20}
    assert set(table["precision"]) == {"fp32"}
    report = REPORTS["timing"](table, STUDY.metric("smoke"), "smoke")
    assert list(report.main.frame["n"]) == [2, 2]
    assert list(report.main.frame["max_batch"]) == [4, 4]
    assert {verdict.claim for verdict in report.verdicts} == set(STUDY.claims)
    mirrored, _ = tracking._run(done, SPECS[0], "timing")
    assert mirrored.history == []
    assert "timing/images_per_s" in mirrored.summary


def test_a_run_asked_to_stop_is_interrupted_and_can_be_run_again(tmp_path):
    store = Store(tmp_path)
    assert do(store, SPECS[0], lambda: True) == INTERRUPTED
    assert store.state(SPECS[0]) == "interrupted"
    assert do(store, SPECS[0]) == DONE


def test_a_model_that_does_not_fit_fails_and_says_so(tmp_path):
    store, spec = Store(tmp_path), apply(SPECS[0], {"memory_limit": 1})
    assert do(store, spec) == FAILED
    assert "no batch was seen to fit in 1 bytes: memory" in store.status(spec)["error"]


def test_a_search_out_of_time_leaves_the_largest_batch_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "largest_batch", lambda *_: Largest(1, "time"))
    store = Store(tmp_path)
    assert do(store, SPECS[0]) == DONE
    result = store.result(SPECS[0])
    assert "timing/max_batch" not in result["metrics"]
    assert set(result["speeds"]) == {"1"}  # nothing larger was seen to fit


def planted(limit, otherwise):
    """A workload that fits up to a limit and then does something else."""

    def fits(batch):
        return True if batch <= limit else otherwise(batch)

    return fits


def over(batch):
    return False


def die(batch):
    os.kill(os.getpid(), signal.SIGKILL)


def out_of_memory(batch):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried\nto allocate")


def hang(batch):
    time.sleep(60)


@pytest.mark.parametrize(
    ("limit", "otherwise", "batch", "ended"),
    [
        (48, over, 32, "memory"),
        (64, over, 64, "memory"),
        (0, over, 0, "memory"),
        (1024, over, 1024, "largest"),
        (48, die, 32, "the process died with code -9"),
        (48, out_of_memory, 32, "OutOfMemoryError: CUDA out of memory. Tried"),
        (48, hang, 32, "time"),
    ],
    ids=["between", "on it", "none", "all", "killed", "out of memory", "too slow"],
)
def test_the_search_finds_a_planted_limit_and_outlives_its_child(limit, otherwise, batch, ended):
    found = largest_batch(partial(planted, limit, otherwise), 1024, 0.5 if otherwise is hang else 60)
    assert (found.batch, found.ended) == (batch, ended)


def hungry(limit):
    """Each image takes a MiB of memory that is really touched; as the real workload, seen by its peak."""
    base = peak_memory("cpu")

    def fits(batch):
        torch.ones(batch, 2**18)
        return peak_memory("cpu") - base <= limit

    return fits


def test_memory_is_what_the_child_touched():
    assert largest_batch(partial(hungry, 48 * 2**20), 256, 60).batch == 32


def test_the_limit_is_what_is_stated_and_never_more_than_the_machine_has():
    machine = memory_limit(None, "cpu")
    assert memory_limit(1000, "cpu") == 1000
    assert memory_limit(2**60, "cpu") == machine
    assert machine < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_speed_is_batch_over_the_time_of_a_pass():
    class Slow(Inference):
        def __init__(self):
            self.passes = 0

        def images(self, batch):
            return torch.zeros(batch)

        def __call__(self, images):
            self.passes += 1
            time.sleep(0.01 * len(images) if self.passes != 4 else 0.5)  # one slow pass: the median does not see it

    slow = Slow()
    assert images_per_s(slow, 2, 1e-6) == pytest.approx(100, rel=0.3)
    assert slow.passes == 5


def test_ids_are_distinct_and_tell_the_kinds_apart():
    other: dict[str, object] = {
        "batch_sizes": (3,), "seconds": 9.0, "largest_batch": 2, "search_seconds": 9.0, "memory_limit": None, "seed": 7,
        "spec_version": 9, "model": ViTSpec.model_validate({**dict(SPECS[0].model), "num_classes": 7}),
    }  # fmt: skip
    assert set(other) | {"kind"} == set(TimingSpec.model_fields)
    ids = {run_id(SPECS[0].model_copy(update={field: value})) for field, value in other.items()}
    assert len(ids | {run_id(SPECS[0])}) == len(other) + 1
    assert run_name(SPECS[0]) == f"vit-smoke-4-20px-timing-s0-{run_id(SPECS[0])}"
    trained = STUDIES["posemb"].runs("smoke")[0]
    for spec, kind in ((SPECS[0], TimingSpec), (trained, RunSpec)):
        loaded = spec_from(json.loads(canonical_json(spec)))
        assert type(loaded) is kind
        assert loaded == spec
    assert apply_to_all(SPECS[0], {"seed": 3}).seed == 3


def test_a_changed_spec_on_disk_is_found_out(done, tmp_path):
    path = tmp_path / done.path(SPECS[0]).name
    path.mkdir()
    (path / "spec.json").write_text(canonical_json(apply(SPECS[0], {"seconds": 5.0})))
    with pytest.raises(StoreError, match="was changed after the run was made"):
        done.read_spec(path)


def test_the_study_runs_one_at_a_time():
    assert STUDY.exclusive
    done = vitstudy("run", "timing", "--scale", "smoke", "--jobs", "2", code=2)
    assert "--jobs 2 is not allowed: runs of 'timing' measure speed" in done.stderr
