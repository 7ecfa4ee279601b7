import itertools
import math

import pytest
import torch

from lvdm.diffusion.config import ScheduleConfig
from lvdm.diffusion.grids import LOWEST, even_times, log_snr_times, trailing_times, uniform_times
from lvdm.diffusion.schedule import make_schedule


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_noise_rises_from_almost_none_to_almost_all(kind):
    schedule = make_schedule(ScheduleConfig(kind=kind))
    assert schedule.betas.dtype == torch.float64
    assert schedule.alphas_cumprod[0] > 0.99
    assert schedule.alphas_cumprod[-1] < 0.01
    assert (schedule.alphas_cumprod.diff() < 0).all()
    assert ((schedule.betas > 0) & (schedule.betas < 1)).all()


def test_cosine_follows_its_formula():
    schedule = make_schedule(ScheduleConfig(kind="cosine"))
    for level in (0, 499, 900):
        kept = [math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2 for t in (0, (level + 1) / 1000)]
        assert schedule.alphas_cumprod[level].item() == pytest.approx(kept[1] / kept[0], rel=1e-9)


def test_rates_keep_the_variance_and_fit_the_latents():
    schedule = make_schedule(ScheduleConfig())
    alpha, sigma = schedule.rates(torch.tensor([0, 999]), like=torch.zeros(2, 4, 4, 8, 8))
    assert alpha.shape == sigma.shape == (2, 1, 1, 1, 1)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha))
    assert schedule.level(999) == pytest.approx((alpha[1].item(), sigma[1].item()))


def test_rates_of_single_frames():
    schedule = make_schedule(ScheduleConfig())
    levels = torch.tensor([[0, 10, 999], [500, 1, 2]])
    alpha, sigma = schedule.rates(levels, like=torch.zeros(2, 4, 3, 8, 8, dtype=torch.float64))
    assert alpha.shape == sigma.shape == (2, 1, 3, 1, 1)
    for clip in range(2):
        for frame in range(3):
            expected = schedule.level(levels[clip, frame].item())
            assert (alpha[clip, 0, frame].item(), sigma[clip, 0, frame].item()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_zero_terminal_snr_changes_the_last_level_and_not_the_first(kind):
    plain = make_schedule(ScheduleConfig(kind=kind))
    rescaled = make_schedule(ScheduleConfig(kind=kind, zero_terminal_snr=True))
    assert rescaled.zero_terminal_snr
    assert not plain.zero_terminal_snr
    assert rescaled.level(999) == (0.0, 1.0)
    assert rescaled.betas[-1].item() == 1
    assert rescaled.betas[0].item() == pytest.approx(plain.betas[0].item(), rel=1e-9)
    assert (rescaled.alphas_cumprod.diff() < 0).all()
    torch.testing.assert_close(torch.cumprod(1 - rescaled.betas, dim=0), rescaled.alphas_cumprod, rtol=1e-9, atol=0)
    assert rescaled.rates(torch.tensor([999]), like=torch.zeros(1, 2))[0].item() == 0


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("levels", [2, 10, 1000])
def test_every_grid_descends_within_the_schedule(levels, zero_terminal_snr):
    schedule = make_schedule(ScheduleConfig(steps=levels, zero_terminal_snr=zero_terminal_snr))
    for steps in range(1, levels + 1, max(1, levels // 100)):
        for times in (
            uniform_times(levels, steps),
            trailing_times(levels, steps),
            even_times(schedule, steps),
            log_snr_times(schedule, steps),
        ):
            assert len(set(times)) == steps
            assert times == sorted(times, reverse=True)
            assert times[-1] >= 0
            assert times[0] < levels


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 20, 1000])
def test_without_a_last_signal_every_grid_starts_there(kind, steps):
    schedule = make_schedule(ScheduleConfig(kind=kind, zero_terminal_snr=True))
    assert even_times(schedule, steps)[0] == 999
    assert log_snr_times(schedule, steps)[0] == 999


def test_log_snr_grid_leaves_out_levels_of_noise_alone():
    schedule = make_schedule(ScheduleConfig(kind="cosine"))
    alpha, sigma = schedule.level(log_snr_times(schedule, 20)[0])
    assert math.log(alpha / sigma) == pytest.approx(LOWEST, abs=0.1)


def test_log_snr_grid_is_even_from_the_last_level_on():
    schedule = make_schedule(ScheduleConfig())
    times = log_snr_times(schedule, 20)
    half_log_snr = [math.log(alpha / sigma) for alpha, sigma in map(schedule.level, times)]
    widths = [after - before for before, after in itertools.pairwise(half_log_snr)]
    assert times[0] == 999
    assert max(widths) / min(widths) < 2


def test_all_levels_are_a_grid_without_offset():
    assert uniform_times(5, 5) == [4, 3, 2, 1, 0]


def test_more_steps_than_levels_are_refused():
    with pytest.raises(ValueError, match="lower sampler"):
        uniform_times(10, 11)
    with pytest.raises(ValueError, match="lower sampler"):
        log_snr_times(make_schedule(ScheduleConfig(steps=10)), 11)
    with pytest.raises(ValueError, match="lower sampler"):
        trailing_times(10, 11)
