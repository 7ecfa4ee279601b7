from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from lvdm.data.sampler import StepBatchSampler, batch_indices

sizes = st.integers(1, 40)
batch_sizes = st.integers(1, 50)
seeds = st.integers(0, 2**32)


@given(size=sizes, batch_size=batch_sizes, seed=seeds)
def test_each_epoch_is_a_permutation(size, batch_size, seed):
    steps = -(-3 * size // batch_size)
    order = [index for step in range(steps) for index in batch_indices(step, size, batch_size, seed)]
    for epoch in range(3):
        assert sorted(order[epoch * size : (epoch + 1) * size]) == list(range(size))


@given(size=sizes, batch_size=batch_sizes, seed=seeds, resumed=st.integers(0, 30))
def test_resuming_at_any_step_continues_the_undisturbed_order(size, batch_size, seed, resumed):
    undisturbed = list(StepBatchSampler(size, batch_size, seed, steps=30))
    assert len(undisturbed) == 30
    assert all(len(batch) == batch_size for batch in undisturbed)
    sampler = StepBatchSampler(size, batch_size, seed, first_step=resumed, steps=30)
    assert list(sampler) == undisturbed[resumed:]
    assert len(sampler) == 30 - resumed
    endless = StepBatchSampler(size, batch_size, seed, first_step=resumed)
    assert list(islice(endless, 3)) == [
        batch_indices(step, size, batch_size, seed) for step in range(resumed, resumed + 3)
    ]


@given(size=sizes, seed=seeds)
def test_the_order_does_not_depend_on_the_batch_size(size, seed):
    by_one = [index for batch in StepBatchSampler(size, 1, seed, steps=12) for index in batch]
    by_four = [index for batch in StepBatchSampler(size, 4, seed, steps=3) for index in batch]
    assert by_one == by_four


def test_epochs_and_seeds_differ():
    def epoch(seed, number):
        return batch_indices(number, 100, 100, seed)

    assert len({tuple(epoch(seed, number)) for seed in range(3) for number in range(3)}) == 9


def test_a_loader_with_workers_keeps_the_order():
    dataset = TensorDataset(torch.arange(10))
    sampler = StepBatchSampler(10, 4, seed=1, first_step=2, steps=9)
    batches = [batch.tolist() for (batch,) in DataLoader(dataset, batch_sampler=sampler, num_workers=2)]
    assert batches == [batch_indices(step, 10, 4, 1) for step in range(2, 9)]


def test_an_endless_sampler_has_no_length_and_nonsense_is_refused():
    with pytest.raises(TypeError, match="endless"):
        len(StepBatchSampler(3, 2, seed=0))
    with pytest.raises(ValueError, match="size 0"):
        StepBatchSampler(0, 2, seed=0)
