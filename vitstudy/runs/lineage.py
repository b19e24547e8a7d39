"""What a run takes from the runs that it needs: the weights of its parent, and the learning rate that tuning chose.

Choices are made on minival, never on a test set; of equals, the first declared wins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from safetensors.torch import load
from torch import Tensor

from vitstudy.runs.store import Store, StoreError
from vitstudy.study.identity import run_id
from vitstudy.study.spec import RunSpec


@dataclass(frozen=True)
class Lineage:
    """`parent`: the chosen pre-training run; `lr`: the chosen rate; `minival`: run id -> accuracy, all that was chosen among."""

    parent: RunSpec
    lr: float
    minival: dict[str, float]

    def record(self) -> dict[str, Any]:
        """For result.json."""
        return {"parent": run_id(self.parent), "lr": self.lr, "minival": self.minival}


def inherit(store: Store, spec: RunSpec) -> Lineage | None:
    """The choices of a transfer; None for a pre-training run. Raises StoreError when a needed run has no result."""
    if spec.transfer is None:
        return None
    minival = {run_id(run): _minival(store, run) for run in spec.candidates}
    tuned = _best(spec.transfer.tuning, minival) if spec.transfer.tuning else spec
    parents = spec.transfer.parents
    return Lineage(_best(parents, minival) if len(parents) > 1 else parents[0], tuned.optim.lr, minival)


def weights(store: Store, run: RunSpec) -> dict[str, Tensor]:
    """The final weights of a done run. Raises StoreError when the file differs from what its result says."""
    path, expected = store.path(run) / "weights.safetensors", needed(store, run)["sha256"]["weights.safetensors"]
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise StoreError(
            f"{path}: SHA-256 is {found}, its result says {expected}; remove the directory to train it again"
        )
    return load(content)


def needed(store: Store, run: RunSpec) -> dict[str, Any]:
    """The result of a run that another one needs. Raises StoreError when there is none."""
    result = store.result(run)
    if result is None:
        raise StoreError(f"{store.path(run)}: needed, and not done")
    return result


def _minival(store: Store, run: RunSpec) -> float:
    return float(needed(store, run)["metrics"]["minival/acc"])


def _best(runs: Sequence[RunSpec], minival: dict[str, float]) -> RunSpec:
    return max(runs, key=lambda run: minival[run_id(run)])
