"""The largest batch that fits in the memory of a card, from the memory that some batches took."""

from collections.abc import Sequence
from typing import Any

import numpy as np

CARDS = (24, 48, 80)  # GiB

# What is measured is what tensors take. A card also holds the CUDA context and the libraries' own workspaces, and the
# allocator cannot use every gap between its blocks.
_FREE = 0.1


def largest_batches(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For the work of each group and name of ``rows``, the largest batch that leaves a tenth of each card free.

    The memory is taken as ``fixed + a clip's * batch``, by least squares over the measured rows. Work without
    two batch sizes whose memory is known, and grows, is left out; so is all work on a CPU.
    """
    measured: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row.get("gibibytes") is not None:
            measured.setdefault((row["group"], row["name"]), []).append(row)
    fits = (_fit(found) for found in measured.values())
    return [fit for fit in fits if fit is not None]


def _fit(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    sizes = np.array([row["batch_size"] for row in rows], dtype=float)
    if len(set(sizes)) < 2:
        return None
    per_clip, fixed = np.polyfit(sizes, [row["gibibytes"] for row in rows], deg=1).tolist()
    if per_clip <= 0:
        return None
    return {
        **{key: rows[0][key] for key in ("group", "name", "note", "precision")},
        "fixed_gibibytes": fixed,
        "gibibytes_per_clip": per_clip,
        "largest_measured": int(sizes.max()),
        "largest": {str(card): max(0, int(((1 - _FREE) * card - fixed) / per_clip)) for card in CARDS},
    }
