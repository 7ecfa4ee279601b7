"""Seeds that are functions of what they are for, so that no random state needs saving."""

import hashlib

import torch


def derive(seed: int, *purpose: int | str) -> int:
    """A seed for one purpose: ``derive(0, "training", 17)`` and ``derive(0, "training", 18)`` are unrelated."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # torch takes 63 bits


def generator(device: torch.device, seed: int, *purpose: int | str) -> torch.Generator:
    """A generator on ``device`` seeded by :func:`derive`."""
    return torch.Generator(device).manual_seed(derive(seed, *purpose))
