"""The study at scale smoke, run once through the command line, as a user would."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]


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


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Finished:
    root = tmp_path_factory.mktemp("smoke")
    store, to = root / "runs", root / "analysis"
    done = vitstudy("run", "posemb", "--scale", "smoke", "--store", store, "--to", to, "--wandb", "off")
    return Finished(store, to, done.stdout)
