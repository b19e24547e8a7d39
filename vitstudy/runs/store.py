"""The store: one directory per run, named by its identity; its files are the truth. No torch here.

    <root>/<name>-<id>/   spec.json status.json metrics.jsonl result.json predictions.npz probes.npz env.json checkpoints/
    <root>/claims/        leases of running runs          <root>/wandb/   the tracker's files

`result.json` is written last, by rename after fsync: a run without it is not done.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from vitstudy.errors import UserError
from vitstudy.files import read_json, write_json
from vitstudy.runs.leases import LEASE_TTL_S, Leases
from vitstudy.study.identity import run_id, run_name
from vitstudy.study.timing import Spec, spec_from

State = Literal["planned", "running", "done", "failed", "diverged", "interrupted"]
ENDED: tuple[State, ...] = ("done", "failed", "diverged")
"""Nothing more happens to such a run unless it is asked for."""


def seconds_of(result: dict[str, Any]) -> float:
    """How long a finished run worked: its training, or its measurement."""
    cost = result["cost"]
    return float(cost["train_seconds"] if "train_seconds" in cost else cost["timing_seconds"])


class StoreError(UserError):
    """The store, or a run directory in it, cannot be trusted or written; the message names the path and what to do."""


class Store:
    """A directory of runs. Nothing is created before the first write."""

    def __init__(self, root: Path, lease_ttl_s: float = LEASE_TTL_S) -> None:
        self.root = Path(root)
        self.leases = Leases(self.root / "claims", lease_ttl_s)

    def path(self, spec: Spec) -> Path:
        """The run's directory."""
        return self.root / run_name(spec)

    def create(self, spec: Spec) -> Path:
        """Make the run's directory with its spec, or check the spec that is there. Raises StoreError."""
        path = self.path(spec)
        try:
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            if not (path / "spec.json").exists():
                write_json(path / "spec.json", spec.model_dump(mode="json"))
        except OSError as error:
            raise StoreError(
                f"{path}: cannot be written ({error.strerror}); choose another with --store DIR"
            ) from error
        self.read_spec(path)
        return path

    def check_writable(self) -> None:
        """Raises StoreError when the root cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{os.getpid()}"
            probe.write_bytes(b"vitstudy")
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"{self.root}: cannot be written ({error.strerror}); choose another with --store DIR"
            ) from error

    def read_spec(self, path: Path) -> Spec:
        """The spec of a run directory. Raises StoreError when it is unreadable or disagrees with the directory's id."""
        file = path / "spec.json"
        try:
            spec = spec_from(read_json(file))
        except (OSError, ValueError, ValidationError) as error:
            raise StoreError(f"{file}: not a valid spec ({error})") from error
        if path.name != run_name(spec):
            raise StoreError(
                f"{file}: has id {run_id(spec)}, but its directory is named {path.name}; "
                "the file was changed after the run was made: remove the directory to run it again"
            )
        return spec

    def result(self, spec: Spec) -> dict[str, Any] | None:
        """The parsed result.json of a done run, else None. Raises StoreError when it belongs to another run."""
        file = self.path(spec) / "result.json"
        try:
            result: dict[str, Any] = read_json(file)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(str(error)) from error
        if result.get("run_id") != run_id(spec):
            raise StoreError(f"{file}: belongs to run {result.get('run_id')}, not {run_id(spec)}")
        return result

    def is_done(self, spec: Spec) -> bool:
        """Whether a result was published."""
        return (self.path(spec) / "result.json").exists()

    def status(self, spec: Spec) -> dict[str, Any]:
        """The last status.json; empty before the first."""
        try:
            status: dict[str, Any] = read_json(self.path(spec) / "status.json")
        except FileNotFoundError:
            return {}
        return status

    def set_status(self, spec: Spec, state: State, **facts: Any) -> None:
        """Write status.json: the state, the time (Unix seconds) and facts such as step, images_per_s, error."""
        write_json(self.path(spec) / "status.json", {"state": state, "time": time.time(), **facts})

    def state(self, spec: Spec) -> State:
        """What is true now: done if published, running only under a live lease, else the last status."""
        if self.is_done(spec):
            return "done"
        status = self.status(spec)
        if not status:
            return "planned"
        if status["state"] == "running" and not self.leases.held(run_id(spec)):
            return "interrupted"
        state: State = status["state"]
        return state

    def ended(self, spec: Spec) -> bool:
        """Whether there is nothing to run: done, or failed or diverged and not asked for again."""
        return self.is_done(spec) or self.status(spec).get("state") in ("failed", "diverged")

    def reset(self, spec: Spec) -> None:
        """Make a failed or diverged run planned again: its status and checkpoints go, its spec and log stay."""
        path = self.path(spec)
        shutil.rmtree(path / "checkpoints", ignore_errors=True)
        for name in ("status.json", "error.txt", "env.json"):
            (path / name).unlink(missing_ok=True)
