"""From uint8 batches to network input, on the device that holds the images.

Values become x / 127.5 - 1, in [-1, 1] (released code: no mean/std). Augmentation is drawn from a generator that the caller
keys by (seed, step). Inception crop: 5-100 % of the area, aspect 3/4 to 4/3 log-uniform, bilinear; when no box fits after
10 tries, the whole image. Crops are never larger than the output here, so no anti-aliasing is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vitstudy.study.spec import DataSpec


def to_input(pixels: Tensor, size: int, channels: int | None = None) -> Tensor:
    """uint8 (n, c, h, w) -> float32 (n, c, size, size) in [-1, 1]; resized bilinearly (anti-aliased) if needed.

    `channels`: what the network takes; grey becomes RGB by repetition, RGB becomes grey by its luma (ITU-R 601).
    """
    if channels == 3 and pixels.shape[1] == 1:
        pixels = pixels.expand(-1, 3, -1, -1)
    x = pixels.float().div_(127.5).sub_(1.0)
    if x.shape[-2:] != (size, size):
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    if channels == 1 and x.shape[1] == 3:
        x = (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    return x


def augment(pixels: Tensor, spec: DataSpec, generator: torch.Generator) -> Tensor:
    """Random crop and flip of uint8 (n, c, h, w); float32 in [-1, 1]. `generator` lives on the CPU."""
    n = len(pixels)
    x = to_input(pixels, spec.image_size, spec.channels)
    if spec.crop == "pad":
        x = _pad_crop(x, generator)
    elif spec.crop == "inception":
        x = _resample(x, _inception_boxes(n, generator).to(x.device))
    if spec.flip:
        flipped = torch.rand(n, generator=generator).lt(0.5).to(x.device)
        x = torch.where(flipped[:, None, None, None], x.flip(-1), x)
    return x


def _pad_crop(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to an eighth of the side, background filled with -1 (black)."""
    n, _, h, w = x.shape
    pad = max(1, h // 8)
    padded = F.pad(x, (pad, pad, pad, pad), value=-1.0)
    dy, dx = torch.randint(0, 2 * pad + 1, (2, n), generator=generator).to(x.device)
    rows = (dy[:, None] + torch.arange(h, device=x.device))[:, None, :, None]
    cols = (dx[:, None] + torch.arange(w, device=x.device))[:, None, None, :]
    batch = torch.arange(n, device=x.device)[:, None, None, None]
    channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return padded[batch, channel, rows, cols]


def _inception_boxes(n: int, generator: torch.Generator, tries: int = 10) -> Tensor:
    """(n, 4): top, left, height, width as fractions of the side."""
    area = torch.rand(n, tries, generator=generator) * 0.95 + 0.05
    log_ratio = (torch.rand(n, tries, generator=generator) * 2 - 1) * torch.log(torch.tensor(4 / 3))
    height, width = (area * torch.exp(-log_ratio)).sqrt(), (area * torch.exp(log_ratio)).sqrt()
    fits = (height <= 1) & (width <= 1)
    first = fits.float().argmax(1, keepdim=True)
    height, width = height.gather(1, first), width.gather(1, first)
    whole = ~fits.any(1, keepdim=True)
    height, width = torch.where(whole, 1.0, height), torch.where(whole, 1.0, width)
    place = torch.rand(n, 2, generator=generator)
    return torch.cat([place[:, :1] * (1 - height), place[:, 1:] * (1 - width), height, width], 1)


def _resample(x: Tensor, boxes: Tensor) -> Tensor:
    """Bilinear resampling of each image's box to the full size."""
    top, left, height, width = boxes.unbind(1)
    zero = torch.zeros_like(top)
    theta = torch.stack(
        [
            torch.stack([width, zero, 2 * left + width - 1], 1),
            torch.stack([zero, height, 2 * top + height - 1], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
