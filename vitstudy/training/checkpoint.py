"""Checkpoints that are whole or absent: written by rename with a SHA-256 beside them, verified before they are read."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from vitstudy.files import sha256, write_atomic, write_json

KEEP = 2


class VerifiedCheckpointIO(CheckpointIO):
    """Lightning's way to the disk. Raises OSError when the disk is full or read-only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the file, then its sidecar; a crash between the two leaves the previous checkpoint in force."""
        target, buffer = Path(path), io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomic(target, lambda file: file.write(buffer.getbuffer()))
        write_json(target.with_suffix(".json"), {"step": checkpoint["global_step"], "sha256": sha256(target)})

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Tensors, numbers and strings only: no code is run."""
        checkpoint: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """The sidecar first, so that a half-removed checkpoint is never taken for a whole one."""
        Path(path).with_suffix(".json").unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)


def checkpoint_path(directory: Path, step: int) -> Path:
    """Where the checkpoint after `step` optimiser steps goes."""
    return directory / f"step-{step:09d}.ckpt"


def newest(directory: Path) -> tuple[Path, int] | None:
    """The newest verified checkpoint and its step. A damaged one is named in a warning and passed over."""
    for sidecar in sorted(directory.glob("step-*.json"), reverse=True):
        path = sidecar.with_suffix(".ckpt")
        try:
            facts = json.loads(sidecar.read_bytes())
            if sha256(path) == facts["sha256"]:
                return path, int(facts["step"])
            problem = "its SHA-256 differs from the one in its sidecar"
        except (OSError, ValueError, KeyError) as error:
            problem = str(error)
        warnings.warn(f"{path}: damaged checkpoint passed over ({problem}); using the one before", stacklevel=2)
    return None


def prune(directory: Path, keep: int = KEEP) -> None:
    """Remove all but the newest `keep` checkpoints, and debris of interrupted writes."""
    for sidecar in sorted(directory.glob("step-*.json"))[: -keep or None]:
        VerifiedCheckpointIO().remove_checkpoint(sidecar.with_suffix(".ckpt"))
    for debris in directory.glob(".*.tmp"):
        debris.unlink(missing_ok=True)
