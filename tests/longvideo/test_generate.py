"""Windows continue exactly what they are given, and a video depends on its own generators alone."""

from functools import partial

import pytest
import torch
from torch import Tensor

from lvdm.diffusion.condition import ConditionedDenoiser
from lvdm.diffusion.config import SamplerConfig, ScheduleConfig
from lvdm.diffusion.schedule import Schedule, make_schedule
from lvdm.longvideo.generate import WindowModel, WindowSampler, generate, interpolate, predict
from lvdm.longvideo.plan import hierarchical_plan, interpolation_plan, prediction_plan
from lvdm.models.config import UNetConfig
from lvdm.models.unet import UNet

CPU = torch.device("cpu")
SCHEDULE = make_schedule(ScheduleConfig())
SAMPLER = SamplerConfig(method="ddim", steps=2)


def generators(videos, stage: int, window: int) -> list[torch.Generator | None]:
    """One for each of ``videos``, a function of the video, the stage and the window."""
    return [
        None if video is None else torch.Generator().manual_seed(10_000 * video + 1000 * stage + window)
        for video in videos
    ]


def draws(videos, stage: int = 0):
    return partial(generators, videos, stage)


def last(items):
    """The end of an iterator that yields what exists so far."""
    *_, item = items
    return item


class Recorder:
    """Draws by some other draw, and keeps the conditions and the windows."""

    def __init__(self, draw):
        self.draw = draw
        self.conditions, self.windows = [], []

    def __call__(self, condition, noise):
        self.conditions.append(condition)
        self.windows.append(self.draw(condition, noise))
        return self.windows[-1]


def toy_draw(condition, noise) -> Tensor:
    """Each frame drifts from the sum of the given ones."""
    start = (condition.mask * condition.perturbed).sum(dim=2, keepdim=True)
    return start + noise(0).cumsum(dim=2)


def toy(window: int, draw=toy_draw) -> WindowModel:
    return WindowModel(draw, SCHEDULE, (2, window, 3, 3), CPU, noise_level=100)


def network(window: int, seed: int) -> UNet:
    """A small UNet that takes given frames, with random weights, none of them 0."""
    unet = UNet(
        UNetConfig(
            model_channels=32,
            channel_mult=(1,),
            residual_blocks=1,
            attention_downsampling=(1,),
            heads=2,
            temporal_length=window,
            noise_levels=251,
        )
    )
    generator = torch.Generator().manual_seed(seed)
    for parameter in unet.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return unet.eval()


@pytest.fixture(scope="module")
def networks() -> dict[int, UNet]:
    return {window: network(window, seed=window) for window in (4, 5)}


def real(unet: UNet, sampler: SamplerConfig = SAMPLER, guidance: float = 1.0, noise_level: int = 100) -> WindowModel:
    draw = WindowSampler(partial(ConditionedDenoiser, unet, SCHEDULE, "eps"), SCHEDULE, sampler, guidance)
    return WindowModel(draw, SCHEDULE, (4, unet.config.temporal_length, 4, 4), CPU, noise_level)


def check_given(plan, recorder: Recorder, video: Tensor) -> None:
    """The windows were told the video's own frames, bit for bit, where the plan gives some, and of no others."""
    alpha, sigma = SCHEDULE.level(100)
    assert len(recorder.conditions) == len(plan.windows)
    for window, condition in zip(plan.windows, recorder.conditions, strict=True):
        mask = torch.zeros(plan.window)
        mask[list(window.given)] = 1
        assert torch.equal(condition.mask, mask.reshape(1, 1, -1, 1, 1).expand(len(video), 1, -1, 1, 1))
        assert condition.noise_level == 100
        for position in window.given:
            frame = video[:, :, window.start + position]
            assert torch.equal(condition.frames[:, :, position], frame)
            noise = (condition.perturbed[:, :, position] - alpha * frame) / sigma
            assert 0.5 < noise.std() < 1.5


@pytest.mark.parametrize(("length", "given"), [(1, 1), (4, 1), (11, 1), (12, 2), (9, 3)])
def test_prediction_continues_the_frames_before(length, given):
    plan = prediction_plan(length, window=4, given=given)
    recorder = Recorder(toy_draw)
    items = list(predict(plan, toy(4, recorder), draws([0, 1])))
    video = items[-1]
    assert video.shape == (2, 2, length, 3, 3)
    assert [item.shape[2] for item in items] == [plan.known(index) for index in range(len(plan.windows))]
    check_given(plan, recorder, video)
    for window, drawn in zip(plan.windows, recorder.windows, strict=True):
        made = video[:, :, window.made.start : window.made.stop]
        assert torch.equal(made, drawn[:, :, window.new.start : window.new.stop])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_interpolation_keeps_every_key_frame(count):
    keys = torch.randn(2, 2, count, 3, 3, generator=torch.Generator().manual_seed(0))
    plan = interpolation_plan(count, window=5)
    recorder = Recorder(toy_draw)
    video = last(interpolate(plan, keys, toy(5, recorder), draws([0, 1])))
    assert video.shape[2] == plan.length
    assert torch.equal(video[:, :, ::4], keys)
    check_given(plan, recorder, video)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize(
    "sampler",
    [
        SamplerConfig(method="ddpm", steps=3),
        SamplerConfig(method="ddim", steps=3, eta=1.0),
        SamplerConfig(method="dpm-solver++", steps=3),
    ],
    ids=lambda sampler: sampler.method,
)
def test_samplers_leave_given_frames_as_they_are(networks, sampler, guidance):
    model = real(networks[4], sampler, guidance)
    recorder = Recorder(model.draw)
    plan = prediction_plan(9, window=4, given=2)
    video = last(predict(plan, WindowModel(recorder, SCHEDULE, model.shape, CPU), draws([0, 1])))
    assert video.isfinite().all()
    check_given(plan, recorder, video)
    for window, drawn in zip(plan.windows, recorder.windows, strict=True):
        stop = min(window.start + 4, 9)
        assert torch.equal(drawn[:, :, : stop - window.start], video[:, :, window.start : stop])


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_a_video_does_not_depend_on_its_batch(networks, rounds):
    plan = hierarchical_plan(11, prediction_window=4, interpolation_window=5, rounds=rounds)
    models = [real(networks[4], SamplerConfig(method="ddpm", steps=2), 2.0)] + [real(networks[5])] * rounds

    def row(videos, index):
        return last(generate(plan, models, partial(generators, videos)))[-1][index]

    video = row([7, 1, 2], 0)
    assert torch.equal(row([7, 8, None], 0), video)
    assert not torch.equal(row([6, 1, 2], 0), video)
    # In another row, or in a batch of another size, a sum may be rounded differently.
    torch.testing.assert_close(row([None, 4, 7], 2), video, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(row([7], 0), video, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_going_on_from_any_item_ends_at_the_same_video(networks, rounds):
    """Also when a job was ended within a stage, or just after one."""
    plan = hierarchical_plan(11, prediction_window=4, interpolation_window=3, rounds=rounds)
    models = [real(networks[4])] + [real(network(3, seed=3))] * rounds
    start = partial(generate, plan, models, partial(generators, [0, 1]))
    items = [tuple(latents.clone() for latents in made) for made in start()]
    assert len(items) == plan.windows
    assert [len(made) for made in items] == sorted(len(made) for made in items)
    for index, made in enumerate(items):
        rest = list(start(made=made))
        # A finished stage is yielded once more.
        assert len(items) - index - 1 <= len(rest) <= len(items) - index + rounds
        assert len(rest[-1]) == rounds + 1
        assert all(torch.equal(a, b) for a, b in zip(rest[-1], items[-1], strict=True))


def test_a_window_that_was_cut_is_made_again_when_the_video_goes_on():
    model, seeds = toy(4), draws([0, 1])
    longer = last(predict(prediction_plan(30, window=4), model, seeds))
    for length in range(1, 31):
        shorter = last(predict(prediction_plan(length, window=4), model, seeds))
        assert torch.equal(shorter, longer[:, :, :length])
        assert torch.equal(last(predict(prediction_plan(30, window=4), model, seeds, shorter)), longer)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_longer_video_begins_with_the_shorter_one(rounds):
    models = [toy(4), *[toy(5)] * rounds]

    def video(length):
        plan = hierarchical_plan(length, prediction_window=4, interpolation_window=5, rounds=rounds)
        made = last(generate(plan, models, partial(generators, [0, 1])))
        assert [latents.shape[2] for latents in made] == list(plan.lengths)
        return made[-1]

    longest = video(60)
    for length in (1, 2, 5, 16, 17, 18, 41, 59):
        assert torch.equal(video(length), longest[:, :, :length])


def test_only_windows_with_given_frames_are_guided(networks):
    calls = []

    def counting(*arguments, **keywords):
        calls.append(keywords["mask"].sum(dim=2).flatten().tolist())
        return networks[4](*arguments, **keywords)

    counting.config = networks[4].config
    for guidance, wanted in ((1.0, [[0.0]] * 2 + [[1.0]] * 2), (3.0, [[0.0]] * 2 + [[1.0], [0.0]] * 2)):
        calls.clear()
        last(predict(prediction_plan(7, window=4), real(counting, guidance=guidance), draws([0])))
        assert calls == wanted


def test_guidance_and_the_noise_level_matter(networks):
    plan, seeds = prediction_plan(7, window=4), draws([0])
    video = last(predict(plan, real(networks[4]), seeds))
    for model in (real(networks[4], guidance=3.0), real(networks[4], noise_level=200)):
        other = last(predict(plan, model, seeds))
        assert torch.equal(other[:, :, :1], video[:, :, :1]) or model.noise_level == 200
        assert not torch.equal(other[:, :, 4:], video[:, :, 4:])


class AutoregressiveNetwork:
    """The best network for videos whose pixels are independent, of variance 1 and correlation ``rho`` a frame.

    It knows the noise of each frame from the mask, as a trained one learns to, and returns the expected clean frames.
    """

    def __init__(self, schedule: Schedule, rho: float, window: int):
        self.schedule = schedule
        frames = torch.arange(window)
        self.covariance = rho ** (frames[:, None] - frames).abs().double()

    def __call__(self, x: Tensor, t: Tensor, mask: Tensor, noise_level: Tensor) -> Tensor:
        levels = torch.where(mask[0, 0, :, 0, 0] > 0, noise_level[0], t[0])
        kept = self.schedule.alphas_cumprod[levels]
        seen = kept.sqrt()[:, None] * self.covariance * kept.sqrt() + torch.diag(1 - kept)
        gain = self.covariance * kept.sqrt() @ torch.linalg.inv(seen)
        return torch.einsum("st,bcthw->bcshw", gain.float(), x)


def autoregressive_model(rho: float, window: int, noise_level: int) -> WindowModel:
    # A schedule that ends at alpha 0.026, as LVDM's does, hides a little of the condition from deterministic samplers.
    schedule = make_schedule(ScheduleConfig(zero_terminal_snr=True))
    best = AutoregressiveNetwork(schedule, rho, window)
    sampler = SamplerConfig(method="dpm-solver++", steps=50)
    draw = WindowSampler(partial(ConditionedDenoiser, best, schedule, "x0"), schedule, sampler)
    return WindowModel(draw, schedule, (1, window, 128, 128), CPU, noise_level)


def correlation(video: Tensor, distance: int) -> Tensor:
    """Mean product of frames that lie ``distance`` apart, for each pair: 16384 pixels, so good to about 0.01."""
    return (video[:, :, :-distance] * video[:, :, distance:]).mean(dim=(0, 1, 3, 4))


def test_with_the_best_network_windows_join_without_a_seam():
    """Key frames 4 apart by prediction, the rest by interpolation: the statistics of the data at every distance."""
    rho = 0.9
    models = [autoregressive_model(rho**4, 4, noise_level=0), autoregressive_model(rho, 5, noise_level=0)]
    plan = hierarchical_plan(29, prediction_window=4, interpolation_window=5)
    video = last(generate(plan, models, partial(generators, [0])))[-1]
    for distance in (1, 2, 4, 5):
        found = correlation(video, distance)
        torch.testing.assert_close(found, torch.full_like(found, rho**distance), rtol=0, atol=0.04)


def test_perturbation_hides_as_much_as_its_noise_does():
    """A frame that is seen as ``alpha x + sigma noise`` is followed by one correlated ``alpha^2 rho`` with it."""
    rho, level = 0.9, 200
    model = autoregressive_model(rho, 4, level)
    video = last(predict(prediction_plan(16, window=4), model, draws([0])))
    found, kept = correlation(video, 1), model.schedule.alphas_cumprod[level].item()
    wanted = torch.full_like(found, rho)
    wanted[3::3] = kept * rho
    assert kept < 0.7
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.04)


def test_models_of_two_stages_may_know_latents_in_different_scalings():
    """Video latents are the autoencoder's, whatever each network sees."""

    def scaled(window: int, shift: float, scale: float) -> WindowModel:
        return WindowModel(
            toy_draw,
            SCHEDULE,
            (2, window, 3, 3),
            CPU,
            normalise=lambda latents: scale * (latents + shift),
            restore=lambda latents: latents / scale - shift,
        )

    plan = hierarchical_plan(9, prediction_window=2, interpolation_window=5)
    made = partial(generators, (0, 1))
    plain = last(generate(plan, [toy(2), toy(5)], made))
    keys, _ = last(generate(plan, [scaled(2, 5.0, 0.25), scaled(5, 0.0, 1.0)], made))
    torch.testing.assert_close(keys, plain[0] / 0.25 - 5.0)
    same = last(generate(plan, [scaled(2, 5.0, 0.25), scaled(5, 5.0, 0.25)], made))
    torch.testing.assert_close(same[1], plain[1] / 0.25 - 5.0)
    # The second model sees what the first one made in its own scaling.
    draw = Recorder(toy_draw)
    interpolating = last(
        generate(
            plan,
            [
                scaled(2, 5.0, 0.25),
                WindowModel(draw, SCHEDULE, (2, 5, 3, 3), CPU, normalise=torch.neg, restore=torch.neg),
            ],
            made,
        )
    )
    torch.testing.assert_close(draw.conditions[0].frames[:, :, 0], -interpolating[0][:, :, 0])
    assert torch.equal(interpolating[1][:, :, ::4], interpolating[0])


def test_what_does_not_fit_the_plan_is_refused():
    plan, keys = prediction_plan(9, window=4), torch.zeros(2, 2, 3, 3, 3)
    hierarchy = hierarchical_plan(9, prediction_window=4, interpolation_window=5)
    cases = [
        (predict(plan, toy(5), draws([0])), r"makes windows of \(2, 5, 3, 3\).*plan's are \(2, 4, 3, 3\)"),
        (predict(plan, toy(4), draws([0]), torch.zeros(1, 2, 10, 3, 3)), "not the beginning of a video"),
        (predict(plan, toy(4), draws([0]), torch.zeros(1, 2, 4, 3, 4)), "not the beginning of a video"),
        (predict(plan, toy(4), draws([0]), torch.zeros(2, 2, 4, 3, 3)), "1 generators for 2 videos"),
        (interpolate(interpolation_plan(4, 5), keys, toy(5), draws([0, 1])), "3 key frames.*keys=3, window=5"),
        (interpolate(interpolation_plan(3, 5), keys[..., :2], toy(5), draws([0, 1])), "plan with the window"),
        (generate(hierarchy, [toy(4)], partial(generators, [0])), "2 stages, but there are 1 models"),
    ]
    for steps, message in cases:
        with pytest.raises(ValueError, match=message):
            last(steps)
