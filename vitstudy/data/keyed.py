"""Stateless randomness: every random number is a pure function of (seed, purpose, index). No RNG state is ever saved."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, purpose: str, index: int = 0) -> int:
    """A 63-bit key for one use of randomness."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A CPU generator keyed by `derive`."""
    return torch.Generator().manual_seed(derive(seed, purpose, index))
