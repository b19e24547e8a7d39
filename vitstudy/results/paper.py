"""The published numbers, read from the CSV files in ``analysis/paper`` (its README says where each comes from)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

POSEMB: dict[str, str] = {"none": "none", "1-D": "1d", "2-D": "2d", "relative": "relative"}
"""Row label of Table 8 -> our factor value."""

POSEMB_AT: dict[str, str] = {
    "default_stem": "stem",
    "every_layer": "every-layer",
    "every_layer_shared": "every-layer-shared",
}
"""Column of Table 8 -> our factor value."""


def paper_dir() -> Path:
    """Where the published CSV files are. Raises FileNotFoundError when `analysis` is not installed."""
    spec = find_spec("analysis")  # a top-level name: found, not imported
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / "paper").is_dir():
            return Path(location) / "paper"
    raise FileNotFoundError("analysis/paper, the folder of published numbers, was not found beside vitstudy")


def read(name: str, directory: Path | None = None) -> pd.DataFrame:
    """The published CSV `name` as it is. Raises FileNotFoundError naming the file."""
    file = (directory or paper_dir()) / name
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file of published numbers")
    return pd.read_csv(file, keep_default_na=False, na_values=[""])


def table8(directory: Path | None = None) -> pd.DataFrame:
    """Table 8: columns posemb, posemb_at, paper (5-shot ImageNet accuracy of ViT-B/16, fraction 0..1).

    One row for each of the 8 cells that the paper fills; its N/A cells are absent.
    """
    wide = read("table8_posemb.csv", directory)
    rows = [
        {
            "posemb": POSEMB[row["position_embedding"]],
            "posemb_at": POSEMB_AT[place],
            "paper": float(row[place]),
        }
        for _, row in wide.iterrows()
        for place in POSEMB_AT
        if pd.notna(row[place])
    ]
    return pd.DataFrame(rows, columns=["posemb", "posemb_at", "paper"])


def figure3(directory: Path | None = None) -> pd.DataFrame:
    """Figure 3: columns model, pretraining, paper (ImageNet top-1 after fine-tuning, fraction 0..1), edge.

    `edge` is "lower" or "upper" for the two ends of the BiT band, missing for ViTs. Read from the drawing, +-0.02 points.
    """
    wide = read("fig3_imagenet_transfer.csv", directory)
    return pd.DataFrame(
        {
            "model": wide["model"].str.replace(r" \(.*", "", regex=True),
            "pretraining": wide["pretrain_dataset"],
            "paper": wide["imagenet_top1_pct"].astype(float) / 100,
            "edge": wide["model"].str.extract(r"\((lower|upper) edge", expand=False),
        }
    )


def figure4(directory: Path | None = None) -> pd.DataFrame:
    """Figure 4: columns family, model, images (of JFT, count), paper (5-shot ImageNet top-1, fraction 0..1).

    Models by the names used here: R50x1 for ResNet50x1 (BiT). Read from the drawing, +-0.02 points.
    """
    wide = read("fig4_fewshot.csv", directory)
    name = wide["model"].str.replace(r"^ResNet(\S+) \(BiT\)$", r"R\1", regex=True)
    return pd.DataFrame(
        {
            "family": ["vit" if model.startswith("ViT") else "resnet" for model in name],
            "model": name,
            "images": wide["n_pretrain_images_millions_read_from_axis"].astype(float) * 1e6,
            "paper": wide["imagenet_linear_5shot_top1_pct"].astype(float) / 100,
        }
    )


def table5(directory: Path | None = None) -> pd.DataFrame:
    """Table 5: columns target, model, pretraining, paper (top-1 after fine-tuning, fraction; missing: not given)."""
    wide = read("table5_pretrain_dataset.csv", directory)
    return pd.DataFrame(
        {
            "target": wide["task"],
            "model": wide["model"],
            "pretraining": wide["pretrain_dataset"],
            "paper": wide["top1_pct"].astype(float) / 100,
        }
    )
