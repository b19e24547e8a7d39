"""The position embeddings of section D.4: none, 1-D, 2-D, relative; in the stem, in every layer, or in every layer shared.

What the paper leaves open, decided here:
* class token: in 1-D it has a row of the table of its own (as in the released code); in 2-D it has a learned vector of its
  own; in the relative form pairs with the class token get no position logit.
* every layer: the code is added to the input of each layer, the first included, and there is no further one in the stem.
* relative: tables per layer, shared by the heads; the logit q . r is scaled by 1/sqrt(D_h) as q . k is; r starts at the
  scale of content keys. With a class token, the last layer's table is read by nobody: only the class token's query counts
  there. It is kept (every layer is the same) and left out of the probe.
"""

from __future__ import annotations

import torch
from timm.layers import Attention
from torch import Tensor, nn
from torch.nn import functional as F


class Table1d(nn.Module):
    """One vector per token in raster order; row 0 is the class token's when there is one."""

    def __init__(self, grid: tuple[int, int], dim: int, prefix: int) -> None:
        super().__init__()
        self.grid, self.prefix = grid, prefix
        self.table = nn.Parameter(torch.zeros(prefix + grid[0] * grid[1], dim))

    def forward(self) -> Tensor:
        """(prefix + N, D)."""
        return self.table


class Table2d(nn.Module):
    """D.4: one table per axis, width D/2 each, concatenated (row code first)."""

    def __init__(self, grid: tuple[int, int], dim: int, prefix: int) -> None:
        super().__init__()
        self.grid, self.prefix = grid, prefix
        self.rows = nn.Parameter(torch.zeros(grid[0], dim // 2))
        self.cols = nn.Parameter(torch.zeros(grid[1], dim // 2))
        self.prefix_table = nn.Parameter(torch.zeros(prefix, dim)) if prefix else None

    def forward(self) -> Tensor:
        """(prefix + N, D)."""
        height, width = self.grid
        rows = self.rows[:, None].expand(-1, width, -1)
        cols = self.cols[None].expand(height, -1, -1)
        patches = torch.cat([rows, cols], dim=-1).flatten(0, 1)
        return patches if self.prefix_table is None else torch.cat([self.prefix_table, patches])


class RelativeAttention(Attention):
    """Self-attention with extra logits q . r of the 1-D raster offset p_q - p_k between patches (D.4)."""

    def __init__(self, dim: int, num_heads: int = 8, *, num_patches: int, prefix: int, **kwargs: object) -> None:
        super().__init__(dim, num_heads, **kwargs)
        self.num_patches, self.prefix = num_patches, prefix
        self.offsets = nn.Parameter(torch.zeros(2 * num_patches - 1, self.head_dim))
        place = torch.arange(num_patches)
        self.register_buffer("index", place[:, None] - place[None] + num_patches - 1, persistent=False)

    def position_logits(self, q: Tensor) -> Tensor:
        """q (B, H, prefix + N, D_h), already scaled -> (B, H, prefix + N, prefix + N); zero wherever the class token takes part."""
        batch, heads, _, width = q.shape
        patches = q[:, :, self.prefix :].permute(2, 0, 1, 3).reshape(self.num_patches, batch * heads, width)
        logits = patches @ self.offsets[self.index].transpose(1, 2).to(q.dtype)  # (N_q, B H, N_k)
        logits = logits.view(self.num_patches, batch, heads, self.num_patches).permute(1, 2, 0, 3)
        return F.pad(logits, (self.prefix, 0, self.prefix, 0))

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """(B, T, D) -> (B, T, D). Raises ValueError for a mask: the studies have none."""
        if attn_mask is not None or is_causal:
            raise ValueError("RelativeAttention takes no mask")
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        q = q * self.scale
        position = self.position_logits(q)
        if self.fused_attn:
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=position, scale=1.0)
        else:
            x = (q @ k.transpose(-2, -1) + position).softmax(dim=-1) @ v
        return self.proj_drop(self.proj(x.transpose(1, 2).reshape(batch, tokens, self.attn_dim)))
