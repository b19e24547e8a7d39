"""The mirror shows what the files say, twice changes nothing, and no study waits for it or depends on it."""

import json
import os
import struct
import subprocess
import sys
import time
import zlib

import pytest

from experiments import STUDIES
from tests.conftest import CHOSEN, ROOT, vitstudy
from tests.runs import wandb_stub
from vitstudy.cli import mirror
from vitstudy.files import write_json
from vitstudy.runs.store import Store
from vitstudy.study.identity import run_id

KEY = "0" * 40
SPECS = STUDIES["posemb"].runs("smoke")[:3]


@pytest.fixture
def store(tmp_path):
    """Three finished runs, written by hand; the numbers are invented."""
    store = Store(tmp_path / "runs")
    for i, spec in enumerate(SPECS):
        path = store.create(spec)
        execution = {
            "device": "cpu",
            "device_name": "x",
            "precision": "fp32",
            "attention": "plain",
            "threads": 1,
            "torch": "x",
        }
        facts = {"metrics": {"fewshot/5": 0.25 + i / 8, "test/acc": 0.5}, "cost": {"params": 3}, "execution": execution}
        write_json(path / "result.json", {"run_id": run_id(spec), **facts})
        rows = [{"step": step, "train/loss": 2.0 / step, "sample_ids": "ab"} for step in (1, 2, 3)]
        (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return store


def push(store, *words, **environment):
    home = store.root.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {"HOME": str(home), "WANDB_API_KEY": "", **environment}
    at = ("--scale", "smoke", "--store", store.root, "--to", store.root / "none", "--seeds", 1)
    return vitstudy("wandb", "push", "posemb", *at, *words, cwd=home, **environment).stdout


def files(folder):
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file())


def test_offline_everything_stays_in_the_store_and_twice_changes_nothing(store):
    assert "3 runs and 1 summary mirrored (offline)" in push(store)
    assert not list((store.root.parent / "home").iterdir())
    kept = sorted(path.name.split("-")[-1] for path in (store.root / "wandb" / "wandb").glob("offline-run-*"))
    assert len(kept) == 4
    assert {run_id(spec) for spec in SPECS} < set(kept)
    before = files(store.root / "wandb" / "wandb")
    assert "already mirrored (offline), nothing to do" in push(store)
    assert [f for f in files(store.root / "wandb" / "wandb") if "debug" not in f[0]] == [
        f for f in before if "debug" not in f[0]
    ]


def test_offline_records_hold_history_summary_and_table(store):
    push(store)
    by_id = {path.stem.removeprefix("run-"): list(_records(path)) for path in (store.root / "wandb").rglob("*.wandb")}
    rows = []
    for record in by_id[run_id(SPECS[1])]:
        if record.HasField("history"):
            rows.append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item})
    assert [(row["_step"], row["train/loss"]) for row in rows if "train/loss" in row] == [
        (1, 2.0),
        (2, 1.0),
        (3, 2 / 3),
    ]
    tables = [json.loads(path.read_text()) for path in (store.root / "wandb").rglob("*.table.json")]
    means = [row[tables[0]["columns"].index("mean")] for row in tables[0]["data"]]
    assert means[:3] == [0.25, 0.375, 0.5]
    assert len(means) == 8


def _records(path):
    """W&B's file format: LevelDB log blocks of protobuf records, with plain CRC-32."""
    from wandb.proto import wandb_internal_pb2

    content, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        crc, size, kind = struct.unpack_from("<IHB", content, at)
        part = content[at + 7 : at + 7 + size]
        assert zlib.crc32(part, zlib.crc32(bytes([kind]))) == crc
        at, record = at + 7 + size, record + part
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def test_changed_results_replace_their_mirror_only(store):
    push(store)
    path = store.path(SPECS[0]) / "result.json"
    write_json(path, {**json.loads(path.read_text()), "metrics": {"fewshot/5": 0.75, "test/acc": 0.5}})
    assert "1 runs and 1 summary mirrored" in push(store)
    assert len(list((store.root / "wandb" / "wandb").glob("offline-run-*"))) == 4


def test_online_the_server_receives_each_run_once(store):
    with wandb_stub.serve() as stub:
        online = {"WANDB_BASE_URL": stub.url, "WANDB_API_KEY": KEY}
        assert "3 runs and 1 summary mirrored (online)" in push(store, "--mode", "online", **online)
        assert not stub.unknown
        assert {run_id(spec) for spec in SPECS} < set(stub.runs)
        assert len(stub.runs) == 4
        assert {run["groupName"] for run in stub.runs.values()} == {"posemb"}
        history = [json.loads(line) for line in stub.lines[run_id(SPECS[0])]["wandb-history.jsonl"]]
        assert [row["_step"] for row in history] == [1, 2, 3]
        summary = json.loads(stub.lines[run_id(SPECS[2])]["wandb-summary.json"][-1])
        assert summary["fewshot/5"] == 0.5
        uploaded = len(stub.lines)
        assert "already mirrored (online), nothing to do" in push(store, "--mode", "online", **online)
        assert len(stub.lines) == uploaded


def test_online_without_a_key_becomes_offline_and_says_so(store):
    assert "no W&B key found, so the mirror is offline" in push(store, "--mode", "online")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return _tiny_study(tmp_path_factory.mktemp("off"), "off")


def _tiny_study(folder, mode, **environment):
    """(the metrics of its runs, its output)"""
    words = ["run", "posemb", "--scale", "smoke", "--seeds", 1, "--set", "optim.steps=6", "--store", folder / "runs"]
    words += ["--to", folder / "analysis", *CHOSEN, "--wandb", mode]
    done = vitstudy(*words, **{"HOME": str(folder), **environment})
    found = {p.parent.name: json.loads(p.read_text())["metrics"] for p in (folder / "runs").glob("*/result.json")}
    return found, done.stdout


def test_a_server_that_never_answers_changes_nothing(tmp_path, reference):
    with wandb_stub.silent() as url:
        found = _tiny_study(tmp_path, "online", WANDB_BASE_URL=url, WANDB_API_KEY=KEY)
    assert found[0] == reference[0]
    assert "goes on in the background" in found[1]


def test_a_server_that_never_answers_delays_nothing(store, monkeypatch):
    with wandb_stub.silent() as url:
        for name, value in {"WANDB_BASE_URL": url, "WANDB_API_KEY": KEY, "HOME": str(store.root)}.items():
            monkeypatch.setenv(name, value)
        start = time.monotonic()
        mirror.start(store.root, "posemb", "smoke", "online", ["--seeds", "1"], store.root / "none")
        assert time.monotonic() - start < 5


def test_offline_mirror_changes_no_result(tmp_path, reference):
    found = _tiny_study(tmp_path, "offline")
    assert found[0] == reference[0]
    log, end = tmp_path / "runs" / "wandb" / "mirror.log", time.monotonic() + 60
    while "mirrored" not in log.read_text():  # on a busy machine it goes on in the background
        assert time.monotonic() < end, f"{found[1]}\n{log.read_text()}"
        time.sleep(0.2)
    assert "8 runs and 1 summary mirrored (offline)" in log.read_text()
    assert "W&B mirror: already mirrored (offline)" in _tiny_study(tmp_path, "offline")[1]


def test_without_wandb_everything_else_works(tmp_path, reference):
    (tmp_path / "wandb.py").write_text("raise ImportError('not here')")
    blocked = "import sys; sys.modules['wandb'] = None\nfrom vitstudy.runs import tracking\nimport vitstudy.cli\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = blocked + "print(tracking.find_spec.__name__)"
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    # a study in an interpreter whose search for wandb fails
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'wandb' else find(name, package)\n"
        "import sys\nsys.modules['wandb'] = None\n"
    )
    found = _tiny_study(tmp_path, "offline", PYTHONPATH=f"{tmp_path / 'site'}:{ROOT}")
    assert found[0] == reference[0]
    assert "W&B" not in found[1]
