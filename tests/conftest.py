"""The study at scale smoke, run once through the command line, as a user would."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests themselves run in parallel

ROOT = Path(__file__).parents[1]
CHOSEN = ("--precision", "fp32", "--attention", "plain", "--layout", "channels-last")
"""What `auto` would measure: a second or two for each store and model."""


class Finished(NamedTuple):
    store: Path
    to: Path
    stdout: str


def vitstudy(
    *words: object, code: int = 0, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line; fails the test unless it exits with `code` and without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "vitstudy", *map(str, words)],
        capture_output=True, text=True, timeout=300, cwd=cwd, env={**os.environ, "COLUMNS": "100", **environment},
    )  # fmt: skip
    assert done.returncode == code, f"exit {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done


def committed(path: str) -> str:
    """A file of the last commit: a user's own study writes over the tables. Without git (an archive), the file."""
    shown = subprocess.run(["git", "-C", ROOT, "show", f"HEAD:{path}"], capture_output=True, text=True, check=False)
    return shown.stdout if shown.returncode == 0 else (ROOT / path).read_text()


@pytest.fixture(scope="session")
def smoke(tmp_path_factory, worker_id) -> Finished:
    """Run by the first process of the tests that asks for it, for all of them."""
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "smoke"
    store, to, stdout = root / "runs", root / "analysis", root / "stdout.txt"
    with FileLock(f"{root}.lock"):
        if not stdout.exists():
            done = vitstudy("run", "posemb", "--scale", "smoke", "--store", store, "--to", to, "--wandb", "off")
            stdout.write_text(done.stdout)
    return Finished(store, to, stdout.read_text())
