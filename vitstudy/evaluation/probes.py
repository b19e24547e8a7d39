"""What a network has learned, as arrays for figures."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from vitstudy.models.vit import VisionTransformer


@torch.inference_mode()
def posemb_similarity(net: VisionTransformer) -> NDArray[np.float32] | None:
    """Cosine similarity of the position code at (r, c) with all others: (gh, gw, gh, gw); Figures 7 (centre) and 10.

    Class token left out; every layer: mean over the tables; relative: similarity of the offset embedding r_{p - p'} with r_0,
    mean over layers. None when there is nothing to compare (posemb none).
    """
    height, width = net.spec.grid
    offsets = net.offset_codes()
    if offsets is not None:
        n = height * width
        similarity = F.cosine_similarity(offsets, offsets[:, n - 1 : n], dim=-1).mean(0)
        place = torch.arange(n, device=similarity.device)
        table = similarity[place[:, None] - place[None] + n - 1]
    else:
        codes = net.position_codes()
        if codes is None:
            return None
        flat = F.normalize(codes.flatten(1, 2), dim=-1)
        table = (flat @ flat.transpose(1, 2)).mean(0)
    return table.reshape(height, width, height, width).float().cpu().numpy()
