"""Grid algebra: small pure functions on tuples of field changes, and their application to a spec.

A change is a mapping from a dotted field to a value, e.g. ``{"model.posemb": "2d", "seed": 1}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product as _product
from typing import Any, TypeVar

from vitstudy.study.models import Part
from vitstudy.study.spec import RunSpec
from vitstudy.study.timing import Spec

Change = Mapping[str, Any]
AnySpec = TypeVar("AnySpec", bound=Part)
"""A `Spec`, whose kind stays."""


def vary(field: str, values: Iterable[Any]) -> tuple[Change, ...]:
    """One change per value of one field."""
    return tuple({field: value} for value in values)


def product(*factors: Iterable[Change]) -> tuple[Change, ...]:
    """Every combination of one change from each factor, the last factor fastest."""
    return tuple({key: value for change in combo for key, value in change.items()} for combo in _product(*factors))


def apply(spec: AnySpec, change: Change) -> AnySpec:
    """The spec with the changes made and validated again. Raises ValueError naming an unknown field."""
    data = spec.model_dump()
    for field, value in change.items():
        *path, last = field.split(".")
        node: Any = data
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            raise ValueError(f"unknown field '{field}'; allowed: {', '.join(fields(spec))}")
        node[last] = value
    return type(spec).model_validate(data)


def apply_to_all(spec: AnySpec, change: Change) -> AnySpec:
    """`apply` to the spec and to all runs that it needs. Raises ValueError as `apply` does."""
    changed = apply(spec, change)
    if not isinstance(spec, RunSpec) or spec.transfer is None:
        return changed
    needs = {
        name: tuple(apply_to_all(run, change) for run in getattr(spec.transfer, name)) for name in ("parents", "tuning")
    }
    return type(spec).model_validate({**dict(changed), "transfer": {**dict(spec.transfer), **needs}})


def fields(spec: Part) -> tuple[str, ...]:
    """Dotted names of all fields that can be changed."""
    names = []
    for key, value in spec.model_dump().items():
        names += [f"{key}.{inner}" for inner in value] if isinstance(value, dict) else [key]
    return tuple(names)


def value_at(spec: Spec, field: str) -> Any:
    """The value of a dotted field or property, e.g. ``upstream.data.train_images``; None where the run has no such field."""
    node: Any = spec
    for key in field.split("."):
        node = getattr(node, key, None)
    return node
