"""Carry out the plans of ``lvdm.longvideo.plan``: latents of long videos, window by window.

The functions are iterators: after each window they yield the latents that exist so far, and given such latents they go
on from there to the same end, because nothing else is remembered between windows. Window ``k`` of a video draws from a
generator of its own, so a video depends neither on the others of its batch nor on interruptions, and a longer video
begins with the shorter one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lvdm.diffusion.condition import FrameCondition, corrected, given, unconditional
from lvdm.diffusion.config import SamplerConfig
from lvdm.diffusion.denoiser import Denoise
from lvdm.diffusion.guidance import guided
from lvdm.diffusion.noise import Noise, batch_noise
from lvdm.diffusion.samplers import sample
from lvdm.diffusion.schedule import Schedule
from lvdm.longvideo.plan import Hierarchy, Plan, Window

Draw = Callable[[FrameCondition, Noise], Tensor]
"""Draws a window ``(B, C, T, H, W)`` for a condition, with standard normal draws of that shape."""

Generators = Callable[[int], Sequence[torch.Generator | None]]
"""Fresh generators on the CPU for window ``k``, one a video: functions of the seed, the video and ``k`` alone.

None fills a row of the batch that nobody looks at.
"""


@dataclass(frozen=True)
class WindowSampler:
    """A sampler with guidance as a :data:`Draw`.

    ``denoiser`` makes a denoiser that knows the condition, such as ``partial(ConditionedDenoiser, network, schedule,
    parameter)``. ``guidance`` is the scale of :func:`lvdm.diffusion.guidance.guided`: 1 is none, and a window without
    given frames has none either.
    """

    denoiser: Callable[[FrameCondition], Denoise]
    schedule: Schedule
    sampler: SamplerConfig
    guidance: float = 1.0

    def __call__(self, condition: FrameCondition, noise: Noise) -> Tensor:
        """The window ``(B, C, T, H, W)``; its given frames are those of ``condition``."""
        denoise = self.denoiser(condition)
        if condition.mask.any():
            free = self.denoiser(unconditional(condition.frames, condition.noise_level))
            denoise = corrected(guided(denoise, free, self.guidance), condition, self.schedule)
        return condition.restore(sample(self.sampler, denoise, noise(0), self.schedule, noise))


def _same(latents: Tensor) -> Tensor:
    return latents


@dataclass(frozen=True)
class WindowModel:
    """What makes windows of ``shape`` (channels, frames, height, width) on ``device``.

    Given frames are perturbed to ``noise_level`` of ``schedule`` (conditional latent perturbation, LVDM section 3.3.2;
    trained below 250 and sampled at 100 there), and ``draw`` makes the others. Videos are latents of the autoencoder:
    ``normalise`` leads from those to what the network knows and ``restore`` back, so that the models of several stages
    may have been trained in different scalings.
    """

    draw: Draw
    schedule: Schedule
    shape: tuple[int, int, int, int]
    device: torch.device
    noise_level: int = 100
    normalise: Callable[[Tensor], Tensor] = _same
    restore: Callable[[Tensor], Tensor] = _same

    @torch.no_grad()
    def __call__(self, window: Window, latents: Tensor, generators: Sequence[torch.Generator | None]) -> Tensor:
        """The new frames ``(B, C, new, H, W)`` of ``window``, given those of the video ``latents (B, C, T, H, W)``.

        All the randomness of a video comes from its own generator, in this order: the perturbation of its given frames,
        the noise that the sampler starts from, the sampler's steps.
        """
        if len(generators) != len(latents):
            raise ValueError(f"there are {len(generators)} generators for {len(latents)} videos; pass one a video")
        noise = batch_noise(generators, self.shape, self.device)
        frames = torch.zeros(len(generators), *self.shape, device=self.device)
        condition = unconditional(frames, self.noise_level)
        if window.given:
            mask = torch.zeros_like(condition.mask)
            for position in window.given:
                frames[:, :, position] = self.normalise(latents[:, :, window.start + position])
                mask[:, :, position] = 1
            condition = given(mask, frames, self.noise_level, self.schedule, noise(0))
        return self.restore(self.draw(condition, noise)[:, :, window.new.start : window.new.stop])


def predict(plan: Plan, model: WindowModel, generators: Generators, latents: Tensor | None = None) -> Iterator[Tensor]:
    """Autoregressive prediction by a :func:`lvdm.longvideo.plan.prediction_plan`.

    Yields the latents so far ``(B, C, known, H, W)`` after each window, in the end all: at least one item, also when
    there is nothing left to do. ``latents`` is an earlier item to go on from, of this plan or of that of a shorter
    video. Raises ``ValueError`` for latents or a model that do not fit the plan.
    """
    channels, _, *sizes = model.shape
    clips = len(generators(0)) if latents is None else len(latents)
    video = torch.zeros(clips, channels, plan.length, *sizes, device=model.device)
    yield from _fill(plan, video, model, generators, latents)


def interpolate(
    plan: Plan, keys: Tensor, model: WindowModel, generators: Generators, latents: Tensor | None = None
) -> Iterator[Tensor]:
    """Interpolation between ``keys (B, C, keys, H, W)`` by a :func:`lvdm.longvideo.plan.interpolation_plan`.

    Yields as :func:`predict` does, and goes on from ``latents`` as it does; the video holds the key frames as they are.
    """
    clips, channels, count, *sizes = keys.shape
    if (count - 1) * (plan.window - 1) + 1 != plan.length:
        raise ValueError(
            f"{count} key frames do not make a video of {plan.length} frames in windows of {plan.window}; "
            f"plan with interpolation_plan(keys={count}, window={plan.window})"
        )
    video = torch.zeros(clips, channels, plan.length, *sizes, device=model.device)
    video[:, :, :: plan.window - 1] = keys
    yield from _fill(plan, video, model, generators, latents)


def generate(
    plan: Hierarchy,
    models: Sequence[WindowModel],
    generators: Callable[[int, int], Sequence[torch.Generator | None]],
    made: Sequence[Tensor] = (),
) -> Iterator[tuple[Tensor, ...]]:
    """Predict key frames and interpolate between them by a :func:`lvdm.longvideo.plan.hierarchical_plan`.

    ``models`` has one for each stage: stage 0 is the prediction, the rounds of interpolation follow, of which two may
    share a model. ``generators(stage, k)`` are those of window ``k`` of a stage. Yields after each window the latents
    of each stage so far; the last of the last item is the video ``(B, C, plan.length, H, W)``. Given an item as
    ``made`` it goes on from there. Raises ``ValueError`` as :func:`predict` does, and when a stage has no model.
    """
    if len(models) != len(plan.stages):
        raise ValueError(
            f"the plan has {len(plan.stages)} stages, but there are {len(models)} models; pass one a stage"
        )
    done: list[Tensor] = []
    for stage, (part, length, model) in enumerate(zip(plan.stages, plan.lengths, models, strict=True)):
        existing = made[stage] if stage < len(made) else None
        draws = partial(generators, stage)
        if existing is not None and existing.shape[2] == length:
            steps = iter([existing])
        elif stage == 0:
            steps = predict(part, model, draws, existing)
        else:
            steps = interpolate(part, done[-1], model, draws, existing)
        for latents in steps:
            yield (*done, latents[:, :, :length])
        done.append(latents[:, :, :length])


def _fill(
    plan: Plan, video: Tensor, model: WindowModel, generators: Generators, latents: Tensor | None
) -> Iterator[Tensor]:
    """Make the frames that ``video (B, C, plan.length, H, W)`` lacks, but for windows whose frames ``latents`` has."""
    channels, sizes = video.shape[1], video.shape[3:]
    if model.shape != (channels, plan.window, *sizes):
        raise ValueError(
            f"the model makes windows of {model.shape} (channels, frames, height, width), but the plan's are "
            f"{(channels, plan.window, *sizes)}; plan with the window of the model"
        )
    known = 0
    if latents is not None:
        known = latents.shape[2]
        if known > plan.length or latents.shape != video[:, :, :known].shape:
            raise ValueError(
                f"latents {tuple(latents.shape)} are not the beginning of a video {tuple(video.shape)}; "
                "go on from what this plan yielded"
            )
        video[:, :, :known] = latents
    first = plan.finished(known)
    for index in range(first, len(plan.windows)):
        window = plan.windows[index]
        video[:, :, window.made.start : window.made.stop] = model(window, video, generators(index))
        yield video[:, :, : plan.known(index)]
    if first == len(plan.windows):
        yield video
