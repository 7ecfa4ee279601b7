import math

import pytest
import torch

from lvdm.diffusion.condition import ConditionedDenoiser, FrameCondition, corrected, given, unconditional
from lvdm.diffusion.config import SamplerConfig, ScheduleConfig
from lvdm.diffusion.denoiser import Denoiser
from lvdm.diffusion.guidance import guided
from lvdm.diffusion.objective import target
from lvdm.diffusion.samplers import sample
from lvdm.diffusion.schedule import make_schedule

SHAPE = (2, 4, 5, 3, 3)


@pytest.fixture(scope="module")
def schedule():
    return make_schedule(ScheduleConfig())


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mask(*frames: int) -> torch.Tensor:
    """The first clip is given ``frames``, the second nothing."""
    result = torch.zeros(2, 1, 5, 1, 1)
    result[0, 0, list(frames)] = 1
    return result


@pytest.fixture
def condition(schedule) -> FrameCondition:
    return given(mask(0, 4), random(1, *SHAPE), 100, schedule, random(2, *SHAPE))


def network(x, t, *, mask, noise_level):
    """Mixes frames, so that given ones would not come out as given by themselves."""
    return torch.tanh(x + x.roll(1, dims=2) + mask + 0.01 * noise_level[0] + 0.001 * t[0])


@pytest.mark.parametrize("noise_level", [0, 100, 249])
def test_perturbed_frames_have_the_variance_of_their_level(schedule, noise_level):
    frames = random(1, 1, 1, 1, 400, 400)
    condition = given(torch.ones(1, 1, 1, 1, 1), frames, noise_level, schedule, random(2, *frames.shape))
    alpha, sigma = schedule.level(noise_level)
    assert condition.noise_level == noise_level
    assert (condition.perturbed - alpha * frames).std().item() == pytest.approx(sigma, rel=0.01)


@pytest.mark.parametrize("noise_level", [-1, 1000])
def test_a_level_beyond_the_schedule_is_refused(schedule, noise_level):
    frames = torch.zeros(SHAPE)
    with pytest.raises(ValueError, match="levels 0 to 999"):
        given(mask(0), frames, noise_level, schedule, frames)


def test_the_network_sees_given_frames_at_their_level_and_the_others_at_theirs(schedule, condition):
    seen = {}

    def recording(x, t, *, mask, noise_level):
        seen.update(x=x, t=t, mask=mask, noise_level=noise_level)
        return torch.zeros_like(x)

    x = random(3, *SHAPE)
    ConditionedDenoiser(recording, schedule, "eps", condition)(x, 700)
    assert torch.equal(seen["x"][0, :, [0, 4]], condition.perturbed[0, :, [0, 4]])
    assert torch.equal(seen["x"][0, :, 1:4], x[0, :, 1:4])
    assert torch.equal(seen["x"][1], x[1])
    assert torch.equal(seen["mask"], condition.mask)
    assert seen["t"].tolist() == [700, 700]
    assert seen["noise_level"].tolist() == [100, 100]


@pytest.mark.parametrize("parameter", ["eps", "x0", "v"])
def test_the_guess_is_the_truth_where_frames_are_given(schedule, condition, parameter):
    x = random(3, *SHAPE)
    guess = ConditionedDenoiser(network, schedule, parameter, condition)(x, 700)
    alpha, sigma = schedule.level(700)
    assert torch.equal(guess.x0[0, :, [0, 4]], condition.frames[0, :, [0, 4]])
    torch.testing.assert_close(alpha * guess.x0 + sigma * guess.eps, x)
    seen = torch.where(condition.mask > 0, condition.perturbed, x)
    levels = torch.tensor([100, 100])
    plain = Denoiser(lambda x, t: network(x, t, mask=condition.mask, noise_level=levels), schedule, parameter)
    expected = plain(seen, 700)
    assert torch.equal(guess.x0[0, :, 1:4], expected.x0[0, :, 1:4])
    assert torch.equal(guess.eps[1], expected.eps[1])


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        SamplerConfig(method="ddpm", steps=8),
        SamplerConfig(method="ddim", steps=8),
        SamplerConfig(method="ddim", steps=8, eta=0.5),
        SamplerConfig(method="ddim", steps=8, eta=1.0),
        SamplerConfig(method="dpm-solver++", steps=8),
        SamplerConfig(method="euler", steps=8),
        SamplerConfig(method="heun", steps=8),
    ],
    ids=lambda config: f"{config.method}-{config.eta}",
)
def test_given_frames_come_out_as_given(config, zero_terminal_snr):
    schedule = make_schedule(ScheduleConfig(zero_terminal_snr=zero_terminal_snr))
    condition = given(mask(0, 4), random(1, *SHAPE), 100, schedule, random(2, *SHAPE))
    denoise = ConditionedDenoiser(network, schedule, "v", condition)
    drawn = sample(config, denoise, random(3, *SHAPE), schedule, lambda index: random(4 + index, *SHAPE))
    alpha, sigma = schedule.level(0)
    there, frames = drawn[0, :, [0, 4]], condition.frames[0, :, [0, 4]]
    if config.method in ("ddpm", "euler", "heun"):
        torch.testing.assert_close(there, frames, rtol=0, atol=0)
    else:
        # At level 0: as given but for its noise, which is as it should be.
        assert ((there - alpha * frames) / sigma).std().item() == pytest.approx(1, abs=0.3)
    restored = condition.restore(drawn)
    assert torch.equal(restored[0, :, [0, 4]], frames)
    assert torch.equal(restored[0, :, 1:4], drawn[0, :, 1:4])
    assert torch.equal(restored[1], drawn[1])


def test_guidance_overshoots_given_frames_unless_corrected(schedule, condition):
    conditional = ConditionedDenoiser(network, schedule, "v", condition)
    nothing = unconditional(condition.frames, condition.noise_level)
    denoise = guided(conditional, ConditionedDenoiser(network, schedule, "v", nothing), 3.0)
    x = random(3, *SHAPE)
    assert not torch.allclose(denoise(x, 700).x0[0, :, 0], condition.frames[0, :, 0])
    guess = corrected(denoise, condition, schedule)(x, 700)
    alpha, sigma = schedule.level(700)
    assert torch.equal(guess.x0[0, :, [0, 4]], condition.frames[0, :, [0, 4]])
    assert torch.equal(guess.x0[0, :, 1:4], denoise(x, 700).x0[0, :, 1:4])
    torch.testing.assert_close(alpha * guess.x0 + sigma * guess.eps, x)


def test_without_given_frames_the_network_sees_everything_at_one_level(schedule):
    nothing = unconditional(torch.zeros(SHAPE), 30)
    assert nothing.mask.shape == (2, 1, 5, 1, 1)
    assert not nothing.mask.any()
    x = random(3, *SHAPE)
    levels = torch.tensor([30, 30])
    plain = Denoiser(lambda x, t: network(x, t, mask=nothing.mask, noise_level=levels), schedule, "v")
    assert torch.equal(ConditionedDenoiser(network, schedule, "v", nothing)(x, 700).x0, plain(x, 700).x0)
    assert torch.equal(nothing.restore(x), x)


def test_the_other_frame_follows_the_given_one():
    """Two frames of correlation 0.8: the second, drawn with the first given at a level, has its conditional moments."""
    schedule = make_schedule(ScheduleConfig(zero_terminal_snr=True))
    clips, correlation, noise_level = 10_000, 0.8, 200
    kept = schedule.level(noise_level)[0]

    def best(x, t, *, mask, noise_level):
        alpha, sigma = schedule.rates(t, like=x)
        # The second frame given the perturbed first one, then given its own noisy self.
        mean, variance = correlation * kept * x[:, :, :1], 1 - (correlation * kept) ** 2
        x0 = mean + alpha * variance / (alpha**2 * variance + sigma**2) * (x - alpha * mean)
        return target("v", x0, (x - alpha * x0) / sigma, alpha, sigma)

    frames = torch.full((clips, 1, 2, 1, 1), 1.5, dtype=torch.float64)
    first = torch.tensor([1.0, 0.0]).reshape(1, 1, 2, 1, 1).expand(clips, 1, 2, 1, 1)
    condition = given(first, frames, noise_level, schedule, random(1, *frames.shape))
    denoise = ConditionedDenoiser(best, schedule, "v", condition)
    drawn = sample(SamplerConfig(method="heun", steps=20), denoise, random(2, *frames.shape), schedule, lambda index: 0)
    following = drawn[:, 0, 1, 0, 0]
    expected = correlation * kept * condition.perturbed[:, 0, 0, 0, 0]
    assert (following - expected).mean().item() == pytest.approx(0, abs=0.02)
    assert (following - expected).std().item() == pytest.approx(math.sqrt(1 - (correlation * kept) ** 2), abs=0.02)
