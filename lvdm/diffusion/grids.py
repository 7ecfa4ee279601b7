"""Grids: the noise levels that a sampler visits, from noisy to clean."""

import torch

from lvdm.diffusion.schedule import Schedule

LOWEST = -4.0
"""Lowest ``log(alpha / sigma)`` that is worth a step; LVDM's schedule ends at -3.7.

Below it there is nothing but noise, for all that a sampler can do, but the cosine schedule goes on to -9.9, and a
rescaled one to minus infinity: a grid down to there doubles the error at 20 steps, whatever the sampler.
"""


def uniform_times(levels: int, steps: int) -> list[int]:
    """``steps`` noise levels out of ``levels``, equally spaced, from noisy to clean.

    Offset by one as in LVDM (1, 21, 41, ... for 50 of 1000), so that the step to level 0 is still a step; with as
    many steps as levels it is every level down to 0. Raises ``ValueError`` for more steps than levels.
    """
    _check_steps(levels, steps)
    if steps == levels:
        return list(reversed(range(levels)))
    return [index * levels // steps + 1 for index in reversed(range(steps))]


def trailing_times(levels: int, steps: int) -> list[int]:
    """``steps`` noise levels out of ``levels``, equally spaced, from the last one on (Lin et al. 2023, section 3.3).

    A model that was trained with pure noise at the last level must start there. Raises ``ValueError`` for more steps
    than levels.
    """
    _check_steps(levels, steps)
    return [(index + 1) * levels // steps - 1 for index in reversed(range(steps))]


def even_times(schedule: Schedule, steps: int) -> list[int]:
    """:func:`uniform_times`, or :func:`trailing_times` where the last level has no signal."""
    grid = trailing_times if schedule.zero_terminal_snr else uniform_times
    return grid(schedule.steps, steps)


def log_snr_times(schedule: Schedule, steps: int) -> list[int]:
    """``steps`` noise levels, equally spaced in ``log(alpha / sigma)`` between :data:`LOWEST` and that of level 0.

    Level 0 is left out. The first is the last level of the schedule, if that has no signal, as for
    :func:`trailing_times`, or is not below :data:`LOWEST`.

    The grid of Lu et al. 2022a (section 4.3), as far as whole levels allow. At 20 steps a DPM-Solver++(2M) on Gaussian
    data errs by 1 percent on it and by 11 percent on :func:`uniform_times`, whose last steps are too long. Euler and
    Heun too err less on it than on the grid of Karras et al. 2022 (equation 5), between the same levels.
    Raises ``ValueError`` for more steps than levels.
    """
    levels = schedule.steps
    if steps >= levels:
        return uniform_times(levels, steps)
    half_log_snr = 0.5 * (torch.log(schedule.alphas_cumprod) - torch.log1p(-schedule.alphas_cumprod))
    lowest = max(half_log_snr[-1].item(), LOWEST)
    wanted = torch.linspace(half_log_snr[0].item(), lowest, steps + 1, dtype=torch.float64)[1:]
    nearest = (half_log_snr - wanted[:, None]).abs().argmin(dim=1).tolist()
    if schedule.zero_terminal_snr:
        nearest[-1] = levels - 1
    times, previous = [], 0
    for index, level in enumerate(nearest):
        # Levels differ, and leave room for those that follow: few are near level 0, where the grid asks for many.
        previous = min(max(level, previous + 1), levels - steps + index)
        times.append(previous)
    return times[::-1]


def _check_steps(levels: int, steps: int) -> None:
    if steps > levels:
        raise ValueError(
            f"a sampler of {steps} steps needs a schedule of as many; it has {levels}: lower sampler.steps"
        )
