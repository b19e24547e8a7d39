"""One look for all figures, and files whose bytes depend on nothing but what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

WIDTH = 7.0
"""Inches: the text width of a two-column page."""

OURS, PAPER = "#0b6fa4", "#c4500a"
"""Colour-blind safe pair: our runs, the published numbers."""

FAMILY_COLOURS: dict[str, str] = {"vit": OURS, "resnet": "#555555", "hybrid": "#2f8f5b"}
"""One colour for a family in every figure; none of them is the paper's."""

_RC = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "svg.hashsalt": "vitstudy",  # ids of SVG elements: random without it
    "svg.fonttype": "none",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw inside this: seaborn's paper look, no display needed, settings restored afterwards."""
    with mpl.rc_context():
        mpl.use("Agg")
        sns.set_theme(context="paper", style="ticks", palette="colorblind", rc=_RC)
        yield


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `path`.svg and `path`.png, without dates or versions in them. Call inside `styled()`."""
    svg, png = path.with_suffix(".svg"), path.with_suffix(".png")
    figure.savefig(svg, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    figure.savefig(png, metadata={"Software": None}, bbox_inches="tight")
    return [svg, png]
