"""The figures by name, and the one way to write them: SVG, PNG, the CSV that is drawn, and a caption that counts gaps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib import pyplot as plt

from analysis import (
    compute_frontier,
    data_scale_fewshot,
    data_scale_finetune,
    posemb_similarity,
    posemb_table,
    resolution,
    shape,
    timing,
)
from analysis.drawing import Drawing, Results
from analysis.style import save, styled

FIGURES: dict[str, Callable[[Results], Drawing | None]] = {
    "posemb_table": posemb_table.draw,
    "posemb_similarity": posemb_similarity.draw,
    "data_scale_fewshot": data_scale_fewshot.draw,
    "data_scale_finetune": data_scale_finetune.draw,
    "resolution": resolution.draw,
    "compute_frontier": compute_frontier.draw,
    "shape": shape.draw,
    "timing": timing.draw,
}


def draw(name: str, results: Results, directory: Path) -> list[Path]:
    """Draw figure `name` into `directory`; the files written (none when no run has what it needs). Raises ValueError."""
    if name not in FIGURES:
        raise ValueError(f"unknown figure '{name}'; allowed: {', '.join(FIGURES)}")
    with styled():
        drawing = FIGURES[name](results)
        if drawing is None:
            return []
        directory.mkdir(parents=True, exist_ok=True)
        paths = save(drawing.figure, directory / name)
        plt.close(drawing.figure)
    csv, caption = directory / f"{name}.csv", directory / f"{name}.txt"
    drawing.data.to_csv(csv, index=False, float_format="%.6g", lineterminator="\n")
    caption.write_text(drawing.caption + "\n")
    return [*paths, csv, caption]
