"""What a figure gets and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vitstudy.results.stats import count_states


@dataclass(frozen=True)
class Results:
    """`table`: one row per run (vitstudy.results.table); `metric`: the column that answers the study's question."""

    table: pd.DataFrame
    metric: str
    scale: str
    probes: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    """Probe -> run id -> array."""


@dataclass(frozen=True)
class Drawing:
    """`data`: exactly the numbers that are drawn."""

    figure: Figure
    data: pd.DataFrame
    caption: str


def describe(results: Results) -> str:
    """Model, data, scale and a count of what is missing: the end of every caption."""
    table = results.table
    counts = count_states(table)
    models, sources = (", ".join(sorted(table[name].unique())) for name in ("model", "source"))
    text = f"{models} on {sources}, scale {results.scale}; {counts['done']} of {counts['planned']} runs"
    gaps = [f"{counts[state]} {state}" for state in ("missing", "failed", "diverged") if counts[state]]
    return text + (f" ({', '.join(gaps)})." if gaps else ".")


def metric_name(metric: str) -> str:
    """``5-shot accuracy on digits`` for fewshot/5/digits, ``test accuracy`` for test/acc."""
    kind, _, rest = metric.partition("/")
    if kind != "fewshot":
        return f"{kind} accuracy" if rest == "acc" else metric.replace("/", " ")
    shots, _, source = rest.partition("/")
    return f"{shots}-shot accuracy" + (f" on {source}" if source else "")
