"""Our count of compute and parameters beside the paper's: the 18 rows of Table 6 (and Figure 5, which draws them), and Table 1.

Table 6's exaFLOPs are 3 x forward x images seen (epochs of 303M; 224 px, 18,000 classes). Two things explain what is left.
1. Table 6 prints them without decimals: each is what Figure 5 draws, less 0-1 exaFLOPs. So Figure 5 is compared.
2. ResNets as executed are 3.3-3.7 % high; without multiply-adds with padded zeros 0.2-0.7 % low. XLA's cost analysis leaves
   them out (valid_position_counts): of a 3 x 3 kernel on 56, 28, 14, 7 px they are 2.4, 4.7, 9.3, 18 %.
Tried, ResNet rows / Figure 5: stride on the 1 x 1 (v1) 0.975-1.019; no root 1.004-1.032; no shortcuts 0.942-1.010; 1,000
classes 1.024-1.035; 300M images 1.023-1.027. R50x1+ViT-L/16 at 7 epochs stays 3 % low: half of the paper's 14 epochs is 834.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from vitstudy.results.paper import read
from vitstudy.results.paper_scaling import figure5, table6
from vitstudy.study.cost import Convolution, convolutions, forward_flops, parameters
from vitstudy.study.models import ModelSpec, ViTSpec
from vitstudy.study.zoo import headless, named

FILE = "compute_accounting.csv"
"""In `analysis/tables`."""

EPOCH_IMAGES, JFT_CLASSES, PIXELS = 303_000_000, 18_000, 224
"""Of the paper's pre-training on JFT (section 4.1)."""

TABLE1: dict[str, str] = {"ViT-Base": "ViT-B/16", "ViT-Large": "ViT-L/16", "ViT-Huge": "ViT-H/14"}
"""Row of Table 1, which names no patch size -> ours, with a linear head of 1,000 classes."""

NOTES: dict[tuple[str, int], str] = {
    ("R50x1+ViT-L/16", 7): "the paper disagrees with itself: half of its 1668 for 14 epochs is 834",
    ("ViT-Large", 0): "307 is ViT-L/32: 306.5 with the same head",
}


def accounting(directory: Path | None = None) -> pd.DataFrame:
    """One row for each of Table 6's rows (exaFLOPs of pre-training) and Table 1's (millions of parameters).

    item, model, epochs, quantity, ours (as executed), ours_unpadded (multiply-adds with padding left out), paper (as printed),
    drawn (in Figure 5), ratio and ratio_unpadded (ours / drawn, or / printed for parameters), note.
    """
    return pd.concat([_compute(directory), _sizes(directory)], ignore_index=True).round(4)


def to_csv(frame: pd.DataFrame) -> str:
    """The text of the committed file."""
    return frame.to_csv(index=False, lineterminator="\n")


def inside(layer: Convolution) -> int:
    """Multiply-adds of a convolution with SAME padding, without those with a padded zero (XLA: HloCostAnalysis)."""
    stride = -(-layer.side // layer.out)
    before = max((layer.out - 1) * stride + layer.kernel - layer.side, 0) // 2
    taps = (out * stride - before + k for out in range(layer.out) for k in range(layer.kernel))
    per_axis = sum(0 <= tap < layer.side for tap in taps)
    return per_axis**2 * layer.chans_in * layer.chans_out


def unpadded_flops(model: ModelSpec) -> int:
    """`forward_flops` without multiply-adds with padding."""
    if isinstance(model, ViTSpec):
        return forward_flops(model)
    return forward_flops(model) - 2 * sum(layer.macs - inside(layer) for layer in convolutions(model))


def _compute(directory: Path | None) -> pd.DataFrame:
    frame = table6(directory).merge(figure5(directory), on=["model", "epochs"], validate="1:1", suffixes=("", "_drawn"))
    models = [named(name.replace("ResNet", "R"), PIXELS, 3, JFT_CLASSES) for name in frame["model"]]
    exa_images = 3 * EPOCH_IMAGES * frame["epochs"] / 1e18
    ours = exa_images * [forward_flops(model) for model in models]
    unpadded = exa_images * [unpadded_flops(model) for model in models]
    return pd.DataFrame(
        {
            "item": "Table 6",
            "model": frame["model"],
            "epochs": frame["epochs"],
            "quantity": "exaFLOPs of pre-training",
            "ours": ours,
            "ours_unpadded": unpadded,
            "paper": frame["flops"] / 1e18,
            "drawn": frame["flops_drawn"] / 1e18,
            "ratio": ours / (frame["flops_drawn"] / 1e18),
            "ratio_unpadded": unpadded / (frame["flops_drawn"] / 1e18),
            "note": [NOTES.get(row, "") for row in zip(frame["model"], frame["epochs"], strict=True)],
        }
    )


def _sizes(directory: Path | None) -> pd.DataFrame:
    published = read("table1_variants.csv", directory)
    ours = [parameters(headless(named(TABLE1[name]))) / 1e6 for name in published["model"]]
    return pd.DataFrame(
        {
            "item": "Table 1",
            "model": published["model"],
            "quantity": "millions of parameters",
            "ours": ours,
            "paper": published["params_millions"].astype(float),
            "ratio": ours / published["params_millions"],
            "note": [NOTES.get((name, 0), "") for name in published["model"]],
        }
    )
