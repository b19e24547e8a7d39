"""The identity of a run: a hash of the whole resolved spec, and a readable name in front of it."""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache

from vitstudy.study.models import ResNetSpec
from vitstudy.study.timing import Spec, TimingSpec


def canonical_json(spec: Spec) -> str:
    """The spec as JSON with sorted keys and no spaces; equal specs give equal text."""
    return json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)


@lru_cache(maxsize=16384)
def run_id(spec: Spec) -> str:
    """First 10 hex digits of SHA-256 over `canonical_json`."""
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()[:10]


@lru_cache(maxsize=16384)
def run_name(spec: Spec) -> str:
    """Directory name of a run, e.g. ``vit-n-4-1d-stem-s0-3f9c1e7a42``: for people in front, the id at the end."""
    model = spec.model
    if isinstance(spec, TimingSpec):
        what: tuple[str, ...] = (f"{model.image_size}px", spec.stage)
    else:
        kind = () if isinstance(model, ResNetSpec) else (model.posemb, model.posemb_at)
        what = kind if spec.stage == "pretrain" else (*kind, spec.stage, spec.data.source)
    words = (model.name, *what, f"s{spec.seed}", run_id(spec))
    return re.sub(r"[^a-z0-9.+]+", "-", "-".join(words).lower())
