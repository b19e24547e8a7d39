"""The paper's models by name (Tables 1, 6; Figures 4, 12): ``ViT-B/16``, ``R152x2``, ``R50x1+ViT-L/16``.

ViT-b/32 is B/32 at half the width (Figure 4; 6 heads of 64, the number is not published). Ti and S are later models of the
same group. R50 in a hybrid's name means R50x1.
"""

from __future__ import annotations

import re

from vitstudy.study.models import HybridSpec, ModelSpec, ResNetSpec, ViTSpec

TRANSFORMERS: dict[str, tuple[int, int, int, int]] = {
    "Ti": (12, 192, 768, 3),
    "S": (12, 384, 1536, 6),
    "b": (12, 384, 1536, 6),
    "B": (12, 768, 3072, 12),
    "L": (24, 1024, 4096, 16),
    "H": (32, 1280, 5120, 16),
}
"""Size -> layers, hidden dimension D, MLP dimension, heads (Table 1)."""

DEPTHS: dict[int, tuple[int, ...]] = {
    26: (2, 2, 2, 2),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
"""ResNet depth -> blocks per stage."""

TABLE6: tuple[str, ...] = (
    "ViT-B/32", "ViT-B/16", "ViT-L/32", "ViT-L/16", "ViT-H/14",
    "R50x1", "R50x2", "R101x1", "R152x1", "R152x2", "R200x3",
    "R50x1+ViT-B/32", "R50x1+ViT-B/16", "R50x1+ViT-L/32", "R50x1+ViT-L/16",
)  # fmt: skip

_NAME = re.compile(
    r"(?:R(?P<depth>\d+)(?:x(?P<factor>\d+))?)?(?P<plus>\+)?(?:ViT-(?P<size>[A-Za-z]+)/(?P<number>\d+))?"
)


def named(
    name: str, image_size: int = 224, in_chans: int = 3, num_classes: int = 1000, *, dropout: float = 0.0
) -> ModelSpec:
    """The spec of a model of the paper. Raises ValueError for a name that is none."""
    match = _NAME.fullmatch(name)
    depth, factor, plus, size, number = match.groups() if match else (None,) * 5
    blocks = DEPTHS.get(int(depth)) if depth else None
    wrong = (depth and not blocks) or (size and size not in TRANSFORMERS) or bool(plus) != bool(depth and size)
    if wrong or not (depth or size):
        raise ValueError(
            f"model '{name}' is unknown; allowed: ViT-S/P, RDxF and RD+ViT-S/16 or /32 with size S one of "
            f"{', '.join(TRANSFORMERS)} and depth D one of {', '.join(map(str, DEPTHS))}; e.g. {', '.join(TABLE6)}"
        )
    common = {"name": name, "image_size": image_size, "in_chans": in_chans, "num_classes": num_classes}
    width = 64 * int(factor or 1)
    if not size:
        return ResNetSpec(**common, layers=blocks, width=width)
    layers, dim, mlp, heads = TRANSFORMERS[size]
    transformer = {"num_layers": layers, "hidden_dim": dim, "mlp_dim": mlp, "num_heads": heads, "dropout": dropout}
    if not blocks:
        return ViTSpec(**common, **transformer, patch_size=int(number or 0))
    if number not in ("16", "32"):
        raise ValueError(f"model '{name}': a hybrid down-samples by 16 or 32, got {number}")
    if number == "16":
        blocks = (*blocks[:2], blocks[2] + blocks[3])
    return HybridSpec(**common, **transformer, layers=blocks, width=width)


def headless(model: ModelSpec) -> ModelSpec:
    """The model without the hidden layer of the pre-training head, as it is fine-tuned."""
    return model.model_copy(update={"prelogits": False}) if "prelogits" in type(model).model_fields else model
