"""The order of training: which items make up the batch of a step, as a function of the step alone.

Nothing is remembered between steps, so a run that resumes at step k sees what an undisturbed run sees.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from torch.utils.data import Sampler


def batch_indices(step: int, size: int, batch_size: int, seed: int) -> list[int]:
    """The items of step ``step`` (from 0) of a data set of ``size`` items; always ``batch_size`` of them.

    The order is one endless row of permutations, one an epoch, cut into batches: an epoch's last batch
    is filled up from the next epoch, and a batch larger than the data set holds several epochs.
    """
    positions = range(step * batch_size, (step + 1) * batch_size)
    return [int(_permutation(seed, position // size, size)[position % size]) for position in positions]


class StepBatchSampler(Sampler[list[int]]):
    """Batches of the steps ``first_step`` to ``steps`` - 1 of a training; for DataLoader's ``batch_sampler``.

    To resume, give the number of the step that comes next as ``first_step`` and leave the rest as it
    was. Endless, and without a length, when ``steps`` is None.
    """

    def __init__(self, size: int, batch_size: int, seed: int, first_step: int = 0, steps: int | None = None):
        if size < 1 or batch_size < 1 or first_step < 0:
            raise ValueError(
                f"size {size} and batch_size {batch_size} must be at least 1, and first_step {first_step} at least 0"
            )
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.first_step, self.steps = first_step, steps

    def __iter__(self) -> Iterator[list[int]]:
        steps = itertools.count(self.first_step) if self.steps is None else range(self.first_step, self.steps)
        for step in steps:
            yield batch_indices(step, self.size, self.batch_size, self.seed)

    def __len__(self) -> int:
        if self.steps is None:
            raise TypeError("an endless sampler has no length")
        return max(0, self.steps - self.first_step)


class ShareBatchSampler(Sampler[list[int]]):
    """Of each step of ``steps``, the items of the batches numbered ``share``, of ``batch_size`` items each.

    What one of several processes computes of a training.
    """

    def __init__(self, steps: StepBatchSampler, batch_size: int, share: Sequence[int]):
        self.steps, self.batch_size, self.share = steps, batch_size, share

    def __iter__(self) -> Iterator[list[int]]:
        for items in self.steps:
            starts = (number * self.batch_size for number in self.share)
            yield [item for start in starts for item in items[start : start + self.batch_size]]

    def __len__(self) -> int:
        return len(self.steps)


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """The order of one epoch; cached, because all steps of an epoch need it."""
    return np.random.default_rng([seed, epoch]).permutation(size)
