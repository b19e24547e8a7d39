"""The typed, frozen description of one measurement of speed and memory (Figure 12, section D.5): nothing is trained.

`Spec` is a run of either kind: whatever only names, stores, claims or lists runs takes both.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from vitstudy.study.models import ModelSpec, Part
from vitstudy.study.spec import RunSpec

TIMING_VERSION = 1
"""Part of every identity of a timing run, as SPEC_VERSION is of the others'."""


class TimingSpec(Part):
    """One measurement of one model at one input size: inference images/s, and the largest batch that fits."""

    kind: Literal["timing"] = Field("timing", description="tells the two kinds of run apart on disk")
    spec_version: int = TIMING_VERSION
    model: ModelSpec
    batch_sizes: tuple[PositiveInt, ...] = Field(
        min_length=1, description="tried for speed, those that fit; best counts"
    )
    seconds: float = Field(gt=0, description="of timed forward passes for each batch size (three passes at least)")
    largest_batch: int = Field(1024, gt=0, description="where the search for the largest ends (Figure 12: 1024)")
    search_seconds: float = Field(gt=0, description="limit of that search; past it the largest batch stays unknown")
    memory_limit: int | None = Field(
        2**34,
        gt=0,
        description="bytes, on the CPU (None: the machine's memory); an accelerator's own memory is its limit",
    )
    seed: int = Field(ge=0, description="which repeat")

    @property
    def needs(self) -> tuple[RunSpec, ...]:
        """No run has to be done before."""
        return ()

    @property
    def stage(self) -> Literal["timing"]:
        """As `RunSpec.stage`."""
        return "timing"


Spec = RunSpec | TimingSpec


def spec_from(data: Any) -> Spec:
    """A spec of either kind from parsed JSON. Raises pydantic's ValidationError."""
    timing = isinstance(data, dict) and data.get("kind") == "timing"
    return TimingSpec.model_validate(data) if timing else RunSpec.model_validate(data)
