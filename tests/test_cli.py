"""The commands as a user types them: what they print, what they write, how they exit."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from experiments import STUDIES
from tests.conftest import CHOSEN, ROOT, vitstudy
from vitstudy.runs.store import Store

RUNS = STUDIES["posemb"].runs("smoke")


def study(store, *words, **more):
    to = store.parent / "analysis"
    where = ("--store", store, "--to", to, "--wandb", "off")
    return vitstudy("run", "posemb", "--scale", "smoke", *where, *CHOSEN, *words, **more)


def test_a_study_says_first_what_it_will_run_and_last_what_it_found(smoke):
    lines = smoke.stdout.splitlines()
    assert lines[0].startswith("posemb at smoke: 16 runs to do (0 of 16 ended before)")
    assert "Table 8 at scale smoke" in smoke.stdout
    assert re.search(r"^C34: (reproduced|contradicted|not separable|not comparable)\. ", smoke.stdout, re.MULTILINE)
    assert all(Store(smoke.store).is_done(spec) for spec in RUNS)
    for name in ("posemb_table", "posemb_similarity"):
        for ending in ("svg", "png", "csv", "txt"):
            assert (smoke.to / "figures" / "smoke" / f"{name}.{ending}").stat().st_size > 100


def test_a_second_call_runs_nothing_and_changes_no_run(smoke):
    before = {path: path.stat().st_mtime_ns for path in smoke.store.rglob("*") if path.is_file()}
    assert "nothing to launch" in study(smoke.store).stdout
    assert before == {path: path.stat().st_mtime_ns for path in smoke.store.rglob("*") if path.is_file()}


def test_every_reporting_verb_speaks_json(smoke):
    at = ("--scale", "smoke", "--store", smoke.store)
    assert json.loads(vitstudy("list", "--json").stdout)[0]["runs"]["paper"] == 8
    assert json.loads(vitstudy("plan", "posemb", "--scale", "paper", "--json").stdout)["runs"] == 8
    assert json.loads(vitstudy("status", *at, "--json").stdout)[0]["states"] == {"done": 16}
    found = json.loads(vitstudy("results", "posemb", *at, "--json").stdout)
    assert len(found["rows"]) == 8
    assert found["verdicts"][0]["claim"] == "C34"
    assert len(json.loads(vitstudy("results", "posemb", *at, "--runs", "--json").stdout)) == 16
    assert len(json.loads(vitstudy("figures", *at, "--to", smoke.to, "--json").stdout)["files"]) == 12


def test_the_numbers_shown_are_the_numbers_in_the_store(smoke):
    store = Store(smoke.store)
    rows = json.loads(vitstudy("results", "posemb", "--scale", "smoke", "--store", smoke.store, "--json").stdout)[
        "rows"
    ]
    for row in rows:
        values = [
            store.result(spec)["metrics"]["fewshot/5"]
            for spec in RUNS
            if (spec.model.posemb, spec.model.posemb_at) == (row["posemb"], row["posemb_at"])
        ]
        assert row["mean"] == pytest.approx(sum(values) / len(values))
        assert row["n"] == len(values) == 2


def test_figures_are_redrawn_to_the_same_bytes(smoke, tmp_path):
    vitstudy("figures", "posemb", "--scale", "smoke", "--store", smoke.store, "--to", tmp_path)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 12
    for file in files:
        assert (tmp_path / file).read_bytes() == (smoke.to / file).read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "posem"], "study 'posem' is not allowed; allowed: posemb"),
        (["run", "posemb", "--scale", "huge"], "--scale 'huge' is not allowed; allowed: smoke, nano"),
        (["run", "posemb", "--set", "optim.lrr=1"], "unknown field 'optim.lrr'; allowed: .*optim.lr"),
        (["run", "posemb", "--set", "optim.lr=-1"], r"optim.lr: Input should be greater than 0, got -1"),
        (["run", "posemb", "--set", "optim.lr"], "write FIELD=VALUE"),
        (["run", "posemb", "--set", "model.posemb=1d"], "varies this field itself"),
        (["run", "posemb", "--set", "data.source=cifar"], "data.source 'cifar' is unknown; allowed: fashion-mnist"),
        (["run", "posemb", "--scale", "paper"], "imagenet-21k' does not come with vitstudy.*usable: fashion-mnist"),
        (["run", "posemb", "--precision", "fp8"], "--precision 'fp8' is not allowed; allowed: auto, fp32, bf16"),
        (["run", "posemb", "--wandb", "yes"], "--wandb 'yes' is not allowed; allowed: off, offline, online"),
        (["plan", "posemb", "--device", "abacus"], "--device 'abacus' is not allowed; allowed: cpu-core"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_field_the_value_and_what_is_allowed_and_writes_nothing(tmp_path, words, message):
    done = vitstudy(*words, code=2, cwd=tmp_path)
    assert re.search(message, done.stderr)
    assert not list(tmp_path.iterdir())


def test_an_empty_store_says_what_to_do(tmp_path):
    for verb in ("results", "figures"):
        done = vitstudy(verb, "posemb", "--store", tmp_path / "none", code=70)
        assert "vitstudy run posemb --scale nano" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_store_that_cannot_be_written_is_an_error_not_a_traceback(tmp_path):
    (tmp_path / "file").write_text("")
    done = study(tmp_path / "file" / "runs", code=70)
    assert "cannot be written" in done.stderr


def test_a_diverging_study_reports_exits_65_and_retries_on_request(tmp_path):
    bad = ("--seeds", 1, "--jobs", 1, "--set", "optim.lr=1e30", "--set", "optim.clip_norm=null", "--fail-fast")
    done = study(tmp_path / "runs", *bad, code=65)
    assert "diverged" in done.stderr
    assert "--retry" in done.stderr
    count = len(list((tmp_path / "runs").glob("vit-*")))
    assert 1 <= count < 8  # fail-fast stopped the rest
    again = study(tmp_path / "runs", *bad, "--retry", "diverged", code=65)
    assert "ended before" in again.stdout


def test_a_failing_run_exits_70_with_its_reason(tmp_path):
    done = study(tmp_path / "runs", "--seeds", 1, "--jobs", 1, "--fail-fast", "--set", "eval.fewshot=[200]", code=70)
    assert re.search(r"200-shot evaluation: class \d has only \d+ images", done.stderr)


def test_more_images_than_there_are_is_said_before_anything_is_written(tmp_path):
    done = study(tmp_path / "runs", "--set", "data.train_size=70000", code=2)
    assert "data.train_size and data.minival_size need 70100 images, 'fashion-mnist' has 60000" in done.stderr
    assert not list(tmp_path.iterdir())


def test_time_up_exits_75_and_the_next_call_finishes(tmp_path):
    slow = ("--seeds", 1, "--set", "optim.steps=150", "--no-report")
    done = study(tmp_path / "runs", *slow, "--max-time", 0.12, code=75)
    assert "stopping: runs save their state" in done.stdout
    study(tmp_path / "runs", *slow)


def test_ctrl_c_stops_all_runs_resumably_and_two_launchers_share_the_rest(tmp_path):
    words = ["run", "posemb", "--scale", "smoke", "--store", str(tmp_path / "runs"), "--to", str(tmp_path / "an")]
    words += [*CHOSEN, "--wandb", "off", "--set", "optim.steps=200", "--seeds", "1", "--no-report"]
    command = [sys.executable, "-m", "vitstudy", *words]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    _wait(lambda: list((tmp_path / "runs").glob("vit-*/metrics.jsonl")))
    os.killpg(first.pid, signal.SIGINT)  # as the terminal does
    stdout, stderr = first.communicate(timeout=60)
    assert first.returncode == 75, stdout + stderr
    assert "Traceback" not in stdout + stderr
    assert "interrupted" in stderr
    second, third = (subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2))
    assert (second.wait(200), third.wait(200)) == (0, 0)
    begun = [json.loads(path.read_text())["segments"] for path in (tmp_path / "runs").glob("vit-*/env.json")]
    assert len(begun) == 8
    assert sum(len(segments) for segments in begun) <= 8 + 2  # the (at most two) interrupted ones in two pieces
    assert all(segment["from_step"] > 0 for segments in begun for segment in segments[1:])


def _wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def test_help_is_there_for_every_verb():
    text = vitstudy("--help").stdout
    for verb in ("list", "plan", "run", "worker", "status", "results", "figures", "wandb", "doctor"):
        assert verb in text
        assert "--help" in vitstudy(verb, "--help").stdout


def test_start_up_loads_no_torch():
    code = (
        "import sys, vitstudy.cli; print([m for m in ('torch', 'pandas', 'matplotlib', 'wandb') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_doctor_finds_this_machine_fit(smoke):
    rows = json.loads(vitstudy("doctor", "--store", smoke.store, "--json").stdout)
    assert all(row["ok"] for row in rows)
    assert {"data fashion-mnist", "data digits", "store"} <= {row["check"] for row in rows}


def test_make_prints_help_and_its_variables():
    text = subprocess.check_output(["make", "-C", ROOT], text=True)
    for word in ("ablation-posemb", "test", "SCALE=nano|smoke|mini|imagenet|paper", "WANDB=off|offline|online"):
        assert word in text
