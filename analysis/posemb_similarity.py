"""Figures 7 (centre) and 10: cosine similarity of each position's embedding with all others, one panel per cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from analysis.drawing import Drawing, Results, describe
from analysis.posemb_table import NAMES, PLACES
from analysis.style import WIDTH

PROBE = "posemb_similarity"
COLUMNS = 4


def draw(results: Results) -> Drawing | None:
    """Tile (r, c) of a panel is the similarity of position (r, c) with every position; mean over seeds. None without data."""
    panels = _panels(results)
    if not panels:
        return None
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, rows * (WIDTH / columns + 0.25)), squeeze=False, layout="constrained"
    )
    image = None
    for axis, (cell, (similarity, _)) in zip(axes.flat, panels.items(), strict=False):
        image = axis.imshow(mosaic(similarity), cmap="viridis", vmin=-1, vmax=1, interpolation="nearest")
        _tidy(axis, similarity.shape[:2], _name(*cell))
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_axis_off()
    assert image is not None
    figure.colorbar(image, ax=axes, shrink=0.7, label="cosine similarity")
    caption = (
        "Figures 7 (centre) and 10: tile (r, c) shows the cosine similarity of the position embedding at row r, column c "
        f"with all others, mean over {_seeds(panels)}. Every layer: mean over layers. Relative: similarity of an offset's "
        f"embedding with that of offset 0. Without position embedding there is nothing to draw. {describe(results)}"
    )
    return Drawing(figure, _long(panels), caption)


def mosaic(similarity: np.ndarray) -> np.ndarray:
    """(gh, gw, gh, gw) -> one image of gh x gw tiles with a blank line (NaN) between them."""
    height, width = similarity.shape[:2]
    padded = np.pad(similarity, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    return padded.transpose(0, 2, 1, 3).reshape(height * (height + 1), width * (width + 1))[:-1, :-1]


def _panels(results: Results) -> dict[tuple[str, str], tuple[np.ndarray, int]]:
    arrays = results.probes.get(PROBE, {})
    panels = {}
    for cell, group in results.table.groupby(["posemb", "posemb_at"], sort=False):
        found = [arrays[run] for run in group["run_id"] if run in arrays]
        if found:
            panels[str(cell[0]), str(cell[1])] = (np.mean(found, axis=0), len(found))
    return panels


def _name(posemb: str, place: str) -> str:
    return NAMES[posemb] + (f", {PLACES[place]}".replace("\n", " ") if posemb in ("1d", "2d") else "")


def _tidy(axis: Axes, grid: tuple[int, ...], title: str) -> None:
    height, width = grid
    axis.set_title(title, fontsize=7)
    axis.set_xticks(
        [c * (width + 1) + (width - 1) / 2 for c in range(width)], [str(c + 1) for c in range(width)], fontsize=6
    )
    axis.set_yticks(
        [r * (height + 1) + (height - 1) / 2 for r in range(height)], [str(r + 1) for r in range(height)], fontsize=6
    )
    axis.tick_params(length=0, pad=1)
    for side in axis.spines.values():
        side.set_visible(False)


def _long(panels: dict[tuple[str, str], tuple[np.ndarray, int]]) -> pd.DataFrame:
    frames = []
    for (posemb, place), (similarity, _) in panels.items():
        index = np.indices(similarity.shape).reshape(4, -1)
        names = ("row", "column", "other_row", "other_column")
        frame = pd.DataFrame(dict(zip(names, index, strict=True)) | {"similarity": similarity.reshape(-1)})
        frame.insert(0, "posemb", posemb)
        frame.insert(1, "posemb_at", place)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _seeds(panels: dict[tuple[str, str], tuple[np.ndarray, int]]) -> str:
    low, high = min(n for _, n in panels.values()), max(n for _, n in panels.values())
    return f"{low} seeds" if low == high else f"{low} to {high} seeds"
