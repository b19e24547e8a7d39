"""The W&B mirror. Files on disk are the truth: W&B runs are rebuilt from them, in a process of its own, after the fact.

One W&B run per run (its id is the run's id, its group the study) and one summary run per study and scale. What was pushed
is remembered by digest, so pushing twice changes nothing. All of W&B's own files stay in ``<store>/wandb``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vitstudy.errors import UserError
from vitstudy.files import sha256, write_json
from vitstudy.runs.store import Store
from vitstudy.study.identity import run_id
from vitstudy.study.timing import Spec

INIT_TIMEOUT_S, FINISH_TIMEOUT_S = 10, 60


class TrackingError(UserError):
    """The mirror could not be written. No result depends on it."""


@dataclass(frozen=True)
class Summary:
    """The study's result table (`rows` of plain numbers and text), its figures (PNG files) and facts such as verdicts."""

    study: str
    scale: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    figures: Sequence[Path]
    facts: dict[str, str]


def available() -> bool:
    """Whether wandb is installed; it is not imported."""
    return find_spec("wandb") is not None


def resolve_mode(mode: str) -> tuple[str, str]:
    """('online' or 'offline', a message for the user or ''). Online needs a key; there is never a prompt."""
    if mode == "offline":
        return mode, ""
    import wandb

    with _quiet():
        key = wandb.login(prompt=False)
    return (
        ("online", "")
        if key
        else ("offline", "no W&B key found, so the mirror is offline; set WANDB_API_KEY to upload")
    )


@contextmanager
def _quiet() -> Iterator[None]:
    before = os.environ.get("WANDB_SILENT")
    os.environ["WANDB_SILENT"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["WANDB_SILENT"]
        else:
            os.environ["WANDB_SILENT"] = before


def launch(argv: Sequence[str], log: Path, wait_s: float = 4.0) -> int | None:
    """Start `argv` on its own, output to `log`; its exit code, or None when it is not done after `wait_s` seconds."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        return child.wait(wait_s)
    except subprocess.TimeoutExpired:
        return None


def push(store: Store, specs: Sequence[Spec], summary: Summary, mode: str, project: str) -> str:
    """Mirror the finished runs among `specs` and the summary; a line that says what was done. Raises TrackingError."""
    folder = _own_folder(store)
    mode, message = resolve_mode(mode)
    mirror = _Mirror(folder, mode, project)
    done = [spec for spec in specs if store.is_done(spec)]
    runs = sum(mirror.push(*_run(store, spec, summary.study)) for spec in done)
    tables = mirror.push(*_summary(summary))
    if not runs and not tables:
        return f"already mirrored ({mode}), nothing to do" + (f"; {message}" if message else "")
    line = f"{runs} runs and {int(tables)} summary mirrored ({mode})"
    return line + (
        f"; {message}"
        if message
        else f"; upload with: wandb sync {folder}/wandb/offline-run-*"
        if mode == "offline"
        else ""
    )


def _own_folder(store: Store) -> Path:
    """<store>/wandb, and W&B told to keep all its files there: run files, cache, settings, staged artifacts."""
    folder = (store.root / "wandb").absolute()
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"):
        os.environ[name] = str(folder if name == "WANDB_DIR" else folder / name[6:-4].lower())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class _Run:
    """One W&B run: everything that `digest` covers."""

    id: str
    name: str
    group: str
    config: dict[str, Any]
    history: list[tuple[int, dict[str, float]]]
    summary: dict[str, Any]

    def digest(self, figures: Sequence[Path] = ()) -> str:
        facts = [asdict(self), [(path.name, sha256(path)) for path in figures]]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _run(store: Store, spec: Spec, study: str) -> tuple[_Run, Summary | None]:
    result, path = store.result(spec), store.path(spec)
    assert result is not None
    config = {**spec.model_dump(mode="json"), "execution": result["execution"]}
    facts = {**result["metrics"], **{f"cost/{name}": value for name, value in result["cost"].items()}}
    history = []
    log = path / "metrics.jsonl"
    for line in log.read_text().splitlines() if log.exists() else ():  # a timing run has no steps
        row = json.loads(line)
        numbers = {key: value for key, value in row.items() if key != "step" and isinstance(value, int | float)}
        history.append((int(row["step"]), numbers))
    return _Run(run_id(spec), path.name, study, config, history, facts), None


def _summary(summary: Summary) -> tuple[_Run, Summary]:
    name = f"{summary.study}-{summary.scale}"
    identity = hashlib.sha256(name.encode()).hexdigest()[:10]
    config = {
        "study": summary.study,
        "scale": summary.scale,
        "columns": list(summary.columns),
        "rows": list(summary.rows),
    }
    return _Run(identity, f"{name}-summary", summary.study, config, [], dict(summary.facts)), summary


class _Mirror:
    """Pushes what `pushed.json` does not know yet; offline and online pushes are remembered apart."""

    def __init__(self, folder: Path, mode: str, project: str) -> None:
        self.folder, self.mode, self.project = folder, mode, project
        self.record = folder / "pushed.json"
        self.pushed: dict[str, str] = json.loads(self.record.read_text()) if self.record.exists() else {}

    def push(self, run: _Run, table: Summary | None) -> bool:
        """Whether anything was sent."""
        key, digest = f"{self.mode}/{self.project}/{run.id}", run.digest(table.figures if table else ())
        if self.pushed.get(key) == digest:
            return False
        if self.mode == "offline":  # an older copy of the same run
            for old in (self.folder / "wandb").glob(f"offline-run-*-{run.id}"):
                shutil.rmtree(old)
        self._send(run, table)
        self.pushed[key] = digest
        write_json(self.record, self.pushed)
        return True

    def _send(self, run: _Run, table: Summary | None) -> None:
        import wandb

        try:
            with wandb.init(
                id=run.id, name=run.name, group=run.group, project=self.project, config=run.config, resume="allow",
                mode="offline" if self.mode == "offline" else "online", dir=str(self.folder), settings=_settings(),
            ) as mirrored:  # fmt: skip
                for step, values in run.history:
                    mirrored.log(values, step=step)
                if table:
                    mirrored.log(
                        {"results": wandb.Table(columns=list(table.columns), data=[list(r) for r in table.rows])}
                    )
                    for figure in table.figures:
                        mirrored.log({figure.stem: wandb.Image(str(figure))})
                mirrored.summary.update(run.summary)
        except (wandb.errors.Error, OSError, TimeoutError) as error:
            raise TrackingError(f"W&B mirror: {run.name} could not be pushed: {str(error).splitlines()[0]}") from error


def _settings() -> Any:
    """Quiet, no prompt, no console or code capture, nothing about the machine."""
    import wandb

    return wandb.Settings(
        silent=True, console="off", disable_git=True, disable_code=True, disable_job_creation=True,
        init_timeout=INIT_TIMEOUT_S, finish_timeout=FINISH_TIMEOUT_S, finish_timeout_raises=True,
        x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True, x_save_requirements=False,
    )  # fmt: skip
