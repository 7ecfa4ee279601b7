import torch
from torch import nn

from lvdm.training.ema import AveragedModel


def with_weight(model: nn.Linear, value: float) -> nn.Linear:
    with torch.no_grad():
        model.weight.fill_(value)
    return model


def test_the_average_follows_the_formula():
    model = with_weight(nn.Linear(1, 1, bias=False), 0.0)
    averaged = AveragedModel(model, decay=0.5)
    expected = 0.0
    for n in range(1, 20):
        averaged.update(with_weight(model, float(n)), n)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
        torch.testing.assert_close(averaged.average.weight.item(), expected)


def test_warm_up_forgets_the_initial_weights():
    """With the bare decay, 0.9999^100 = 99 percent of the initial weights would be left."""
    model = with_weight(nn.Linear(1, 1, bias=False), 100.0)
    averaged = AveragedModel(model, decay=0.9999)
    for n in range(1, 101):
        averaged.update(with_weight(model, 1.0), n)
    assert 1.0 < averaged.average.weight.item() < 1.001


def test_decay_0_copies():
    model = nn.Linear(2, 3)
    averaged = AveragedModel(model, decay=0.0)
    averaged.update(with_weight(model, 3.0), 1)
    assert torch.equal(averaged.average.weight, model.weight)


def test_the_average_is_a_frozen_copy_with_buffers():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    averaged = AveragedModel(model, decay=0.9)
    model(torch.ones(4, 2))
    averaged.update(model, 1)
    assert averaged.average[1].num_batches_tracked == 1
    assert not any(parameter.requires_grad for parameter in averaged.parameters())
    averaged.average[0].weight.zero_()
    assert model[0].weight.abs().max() > 0


def test_the_state_alone_resumes():
    model = nn.Linear(2, 2)
    first = AveragedModel(model, decay=0.9)
    first.update(with_weight(model, 2.0), 1)
    second = AveragedModel(nn.Linear(2, 2), decay=0.9)
    second.load_state_dict(first.state_dict())
    for averaged in (first, second):
        averaged.update(with_weight(model, 5.0), 2)
    assert torch.equal(first.average.weight, second.average.weight)
