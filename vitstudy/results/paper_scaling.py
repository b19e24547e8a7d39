"""The published numbers on compute and speed (Table 6, Figures 5, 8 and 12), in the units of our result table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from vitstudy.results.paper import read

FAMILIES: dict[str, str] = {
    "ViT": "vit",
    "ResNet (BiT)": "resnet",
    "ResNet": "resnet",
    "hybrid": "hybrid",
    "Hybrid": "hybrid",
}
"""Family in the published files -> our value."""

AXES: dict[str, str] = {"Depth": "depth", "Width": "width", "Width MLP": "mlp", "Patch size": "patch", "All": "all"}
"""Line of Figure 8 -> our value of `axis`."""

TARGETS: tuple[str, ...] = ("imagenet", "cifar10", "cifar100", "pets", "flowers")
"""The five targets whose mean is Figure 5's "Average-5" (ReaL, the other labels of ImageNet, is left out)."""


def table6(directory: Path | None = None) -> pd.DataFrame:
    """Table 6: model, family, epochs, the five targets, average (fractions 0..1), flops (of pre-training). 18 rows."""
    raw = read("table6_scaling.csv", directory)
    frame = pd.DataFrame({"model": raw["name"], "family": raw["family"].map(FAMILIES), "epochs": raw["epochs"]})
    for target in TARGETS:
        frame[target] = raw[target] / 100
    frame["average"] = frame[list(TARGETS)].mean(axis=1)
    frame["flops"] = raw["exaflops"] * 1e18
    return frame


def figure5(directory: Path | None = None) -> pd.DataFrame:
    """Figure 5 as plotted: model, family, epochs, flops, average and imagenet (fractions 0..1). 18 points."""
    raw = read("fig5_scaling_points.csv", directory)
    return pd.DataFrame(
        {
            "model": raw["name_matched_to_table6"],
            "family": raw["family"].map(FAMILIES),
            "epochs": raw["epochs"],
            "flops": raw["exaflops_read"] * 1e18,
            "average": raw["avg5_read_pct"] / 100,
            "imagenet": raw["imagenet_read_pct"] / 100,
        }
    )


def figure8(directory: Path | None = None) -> pd.DataFrame:
    """Figure 8, left: axis, compute (relative to the base), accuracy (5-shot ImageNet, fraction 0..1)."""
    raw = read("fig8_transformer_shape.csv", directory)
    return pd.DataFrame(
        {
            "axis": raw["scaled_dimension"].map(AXES),
            "compute": raw["relative_compute"],
            "accuracy": raw["imagenet_5shot_acc"],
        }
    )


def figure12(directory: Path | None = None) -> pd.DataFrame:
    """Figure 12: model, family, image_size (pixels), images_per_s (per TPUv3 core), max_batch (search stopped at 1024)."""
    raw = read("fig12_speed_memory.csv", directory)
    return pd.DataFrame(
        {
            "model": raw["model"],
            "family": ["vit" if name.startswith("ViT") else "resnet" for name in raw["model"]],
            "image_size": raw["input_size_px"],
            "images_per_s": raw["peak_inference_img_per_sec_per_core"],
            "max_batch": raw["largest_per_core_batch"],
        }
    )
