"""Workers and leases: every run once, whoever dies; what failed is told, retried on request, and never counted."""

import os
import platform
import subprocess
import sys
import time

import pytest

from experiments import STUDIES
from tests.runs import drill
from vitstudy.runs import launch
from vitstudy.runs.leases import Leases
from vitstudy.runs.store import Store
from vitstudy.study.grid import apply
from vitstudy.study.identity import run_id

GRID = [apply(spec, {"data.train_size": 200}) for spec in STUDIES["posemb"].runs("smoke")[:4]]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, lease_ttl_s=1.0)


def test_two_workers_run_each_cell_once_and_a_third_does_nothing(store):
    workers = [drill.start(store, GRID) for _ in range(2)]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert all(drill.segments(store, spec) == [0] for spec in GRID)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    assert drill.run(store, GRID) == 0
    assert before == {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}


def test_where_nothing_is_left_to_choose_nothing_is_measured(store):
    assert drill.run(store, GRID[:1]) == 0
    kept = [file.name for file in (store.root / "autotune").glob("*.json")]
    assert len(kept) == 1
    assert kept[0].startswith("peak-")


def test_exactly_the_killed_run_is_run_again(store):
    assert drill.run(store, GRID[:2]) == 0
    assert drill.run(store, GRID, "after-step:10") == -9
    killed = [spec for spec in GRID if store.path(spec).exists() and not store.is_done(spec)]
    assert killed == [GRID[2]]
    assert drill.run(store, GRID) == 0
    assert [drill.segments(store, spec) for spec in GRID] == [[0], [0], [0, 8], [0]]


def test_a_waiting_worker_takes_over_after_the_lease_of_a_killed_one_expires(store):
    assert drill.run(store, GRID[:1], "after-step:10") == -9
    assert store.leases.held(run_id(GRID[0]))
    assert store.state(GRID[0]) == "running"
    start = time.monotonic()
    assert drill.run(store, GRID[:1]) == 0
    assert time.monotonic() - start > 0.3  # it did wait
    assert drill.segments(store, GRID[0]) == [0, 8]


def test_a_live_heartbeat_keeps_the_lease_longer_than_its_time_to_live(store):
    leases = Leases(store.root / "claims", ttl_s=0.4)
    with leases.claim("a") as lease:
        time.sleep(1.0)
        assert leases.claim("a") is None
        assert leases.held("a")
        assert not lease.lost.is_set()
    assert not leases.held("a")
    assert leases.claim("a") is not None


def test_a_stolen_lease_is_noticed_and_not_removed_by_its_former_owner(store):
    leases = Leases(store.root / "claims", ttl_s=0.4)
    with leases.claim("a") as lease:
        lease.path.unlink()
        thief = leases.claim("a")
        assert lease.lost.wait(2)
    assert thief.mine()


def test_of_many_thieves_one_wins(store):
    root = store.root / "claims"
    for attempt in range(200):
        old = Leases(root, ttl_s=30).claim(f"k{attempt}")
        os.utime(old.path, (1, 1))  # its owner died long ago
    results = drill.context.Queue()
    thieves = [drill.context.Process(target=_steal, args=(root, results)) for _ in range(4)]
    for thief in thieves:
        thief.start()
    won = [key for _ in thieves for key in results.get(timeout=60)]
    for thief in thieves:
        thief.join()
    assert sorted(won) == sorted(f"k{attempt}" for attempt in range(200))


def _steal(root, results):
    leases = Leases(root, ttl_s=30)
    results.put([f"k{attempt}" for attempt in range(200) if leases.claim(f"k{attempt}") is not None])


def test_a_diverged_run_is_told_not_counted_and_not_tried_again_unasked(store):
    bad = apply(GRID[1], {"optim.lr": 1e30, "optim.clip_norm": None})
    assert drill.run(store, [bad, GRID[0]]) == 0
    assert store.state(bad) == "diverged"
    assert "at step" in store.status(bad)["error"]
    assert store.result(bad) is None
    assert store.state(GRID[0]) == "done"
    assert drill.run(store, [bad]) == 0
    assert drill.segments(store, bad) == [0]
    store.reset(bad)
    assert store.state(bad) == "planned"
    assert drill.run(store, [bad]) == 0
    assert store.state(bad) == "diverged"


def test_a_full_disk_fails_the_run_with_a_clear_message_and_it_recovers(store):
    spec = GRID[1]
    assert drill.run(store, [spec], "disk-full-at:10") == 0
    assert store.state(spec) in ("failed", "interrupted")  # the status itself may not have been writable
    assert store.result(spec) is None
    store.reset(spec)
    assert drill.run(store, [spec]) == 0
    reference = Store(store.root / "other")
    assert drill.run(reference, [spec]) == 0
    assert drill.outcome(store, spec) == drill.outcome(reference, spec)


def test_a_worker_is_given_its_threads_and_a_gpu_but_keeps_what_the_user_chose(monkeypatch):
    monkeypatch.setattr(launch, "accelerators", lambda: 2)
    for name in ("CUDA_VISIBLE_DEVICES", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    given = launch.worker_environment(3, threads=2)
    assert (given["OMP_NUM_THREADS"], given["CUDA_VISIBLE_DEVICES"], given["VITSTUDY_WORKER"]) == ("2", "1", "3")
    assert given["GLIBC_TUNABLES"] == launch.ALLOCATOR
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("GLIBC_TUNABLES", "")
    chosen = launch.worker_environment(3, threads=2)
    assert (chosen["CUDA_VISIBLE_DEVICES"], chosen["GLIBC_TUNABLES"]) == ("7", "")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator's settings are glibc's")
def test_with_the_allocator_of_a_worker_memory_that_is_used_again_costs_no_page_faults():
    """Ten times 8 arrays of 1 MB, all freed in between: 20,000 pages, if the system takes them back each time."""
    program = """
import resource, numpy as np
def use():
    held = [np.ones(1 << 17) for _ in range(8)]
for _ in range(3): use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {}
    for name, tunables in (("ours", launch.ALLOCATOR), ("default", "")):
        environment = {**os.environ, "GLIBC_TUNABLES": tunables}
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        faults[name] = int(ran.stdout)
    assert faults["ours"] < 100
    assert faults["default"] > 10 * faults["ours"]
