"""Features of a stream of clips: in constant memory, read ahead, and kept in parts for the next run.

Clips are uint8 arrays (T, H, W, 3). They reach the detector in batches of one size, whatever files they
come from. A part is the features of a few batches; its name is a hash of the very bytes of its clips and of
what computes with them, so that a killed run, and a protocol that compares the same clips, find it again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from lvdm.evaluation.detectors import Features
from lvdm.files import publish
from lvdm.read_ahead import read_ahead

PART_BATCHES = 8


@dataclass(frozen=True)
class Batch:
    """Clips, uint8 (B, T, H, W, 3), of which the first ``count`` are wanted."""

    clips: np.ndarray
    count: int


@dataclass(frozen=True)
class Extractor:
    """Computes the features of clips, and keeps them.

    ``identity`` says what computes: another detector, device or version is another identity. ``store`` is the
    folder of the parts.
    """

    detector: Callable[[torch.Tensor], Features]
    identity: str
    device: torch.device
    store: Path

    def extract(self, clips: Iterable[np.ndarray], batch_size: int) -> Iterator[Path]:
        """The parts of all clips, in their order, each as soon as it is there.

        Clips are read in a thread of their own, while the detector works. Raises ``ValueError`` when clips
        differ in shape.
        """
        stream = read_ahead(batches(clips, batch_size), PART_BATCHES)
        while part := list(islice(stream, PART_BATCHES)):
            path = self.store / f"{self._key(part)}.npz"
            if not path.exists():
                self._compute(part, path)
            yield path

    def _key(self, part: list[Batch]) -> str:
        digest = hashlib.sha256(self.identity.encode())
        for batch in part:
            digest.update(f"\n{batch.clips.shape} {batch.count}\n".encode())
            digest.update(batch.clips.data)
        return digest.hexdigest()[:32]

    def _compute(self, part: list[Batch], path: Path) -> None:
        # Scores must not depend on the accelerator's short cuts: full float32 in convolutions.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            found = [(self.detector(torch.from_numpy(batch.clips).to(self.device)), batch.count) for batch in part]
        arrays = {"values": [features.values[:count] for features, count in found]}
        if found[0][0].probabilities is not None:
            arrays["probabilities"] = [features.probabilities[:count] for features, count in found]
        joined = {name: torch.cat(tensors).float().cpu().numpy() for name, tensors in arrays.items()}
        with publish(path) as temporary:
            np.savez(temporary, **joined)


def batches(clips: Iterable[np.ndarray], size: int) -> Iterator[Batch]:
    """Batches of ``size`` clips.

    The last one is filled up with its first clip: a smaller batch may take another code path in the
    network's arithmetic, and so give other last bits.
    """
    clips = iter(clips)
    shape = None
    while waiting := list(islice(clips, size)):
        shape = shape or waiting[0].shape
        for clip in waiting:
            if clip.shape != shape:
                raise ValueError(
                    f"a clip has the shape {clip.shape}, but those before it {shape}; compare clips of one size and "
                    "length"
                )
        filling = [waiting[0]] * (size - len(waiting))
        yield Batch(np.stack(waiting + filling), len(waiting))
