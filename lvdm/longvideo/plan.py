"""Plans of long videos, in whole numbers: which window makes which frame, and which chunk decodes it.

A network makes *windows* of a fixed number of latent frames. A :class:`Plan` says for each window which of its frames
are given, because they exist by then, and which are new; a :class:`Chunk` says which latent frames are decoded
together. Nothing here computes a frame: ``lvdm.longvideo.generate`` and ``lvdm.longvideo.decode`` do.
"""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Window:
    """One draw of a network. ``given`` and ``new`` are positions in the window, from 0."""

    start: int
    """Position in the video of the window's first frame."""
    given: tuple[int, ...]
    """Frames that exist before the window is drawn."""
    new: range
    """Frames that are kept from it; a network draws the whole window, also where the video ends within it."""

    @property
    def made(self) -> range:
        """Positions in the video of the frames that the window adds."""
        return range(self.start + self.new.start, self.start + self.new.stop)


@dataclass(frozen=True)
class Plan:
    """The windows, in the order in which they are drawn, that complete a video of ``length`` latent frames."""

    length: int
    window: int
    """Frames of every window: those that the network was made for."""
    windows: tuple[Window, ...]

    def known(self, index: int) -> int:
        """How many leading frames of the video exist once window ``index`` has been drawn."""
        return min(self.windows[index].start + self.window, self.length)

    def finished(self, frames: int) -> int:
        """How many windows need no drawing when the ``frames`` leading frames exist."""
        return sum(self.known(index) <= frames for index in range(len(self.windows)))


@dataclass(frozen=True)
class Hierarchy:
    """Sparse key frames by prediction, then rounds of interpolation (LVDM, section 3.3)."""

    prediction: Plan
    interpolations: tuple[Plan, ...]
    """A plan a round; its key frames are the frames of the stage before."""
    lengths: tuple[int, ...]
    """Frames kept after each stage. A round may make a few more than the next one needs."""

    @property
    def stages(self) -> tuple[Plan, ...]:
        """The prediction and the rounds of interpolation."""
        return (self.prediction, *self.interpolations)

    @property
    def length(self) -> int:
        """Latent frames of the video."""
        return self.lengths[-1]

    @property
    def windows(self) -> int:
        """Windows to draw in all."""
        return sum(len(plan.windows) for plan in self.stages)

    @property
    def spacing(self) -> int:
        """Frames of the video from one predicted key frame to the next: the stride to train prediction with."""
        spacing = 1
        for plan in self.interpolations:
            spacing *= plan.window - 1
        return spacing


@dataclass(frozen=True)
class Chunk:
    """Latent frames that are decoded together, and the frames of the video that are kept from the result."""

    latents: range
    frames: range
    """Positions in the decoded video."""
    factor: int
    """Frames that a latent frame becomes."""

    @property
    def kept(self) -> range:
        """``frames`` as positions in the decoded chunk."""
        start = self.latents.start * self.factor
        return range(self.frames.start - start, self.frames.stop - start)


def prediction_plan(length: int, window: int, given: int = 1) -> Plan:
    """Autoregressive prediction: the first window is unconditional, each further one continues ``given`` frames.

    Windows of ``window`` frames until ``length`` frames exist; the last one is cut. Raises ``ValueError`` for numbers
    that make no plan.
    """
    _at_least("length", length, 1)
    _at_least("window", window, 2)
    if not 1 <= given < window:
        raise ValueError(
            f"given is {given}, but a window of {window} frames continues at least 1 and makes at least 1; "
            f"choose 1 to {window - 1}"
        )
    stride = window - given
    count = 1 + _ceil(max(length - window, 0), stride)
    windows = []
    for start in range(0, count * stride, stride):
        known = given if start else 0
        windows.append(Window(start, tuple(range(known)), range(known, min(window, length - start))))
    return Plan(length, window, tuple(windows))


def interpolation_plan(keys: int, window: int) -> Plan:
    """Interpolation: from each of ``keys`` key frames to the next a window whose first and last frame they are.

    The video has ``(keys - 1) (window - 1) + 1`` frames, with the key frames at multiples of ``window - 1``. Raises
    ``ValueError`` for numbers that make no plan.
    """
    _at_least("keys", keys, 1)
    _at_least("window", window, 3)
    stride = window - 1
    length = (keys - 1) * stride + 1
    windows = [Window(start, (0, stride), range(1, stride)) for start in range(0, length - 1, stride)]
    return Plan(length, window, tuple(windows))


def hierarchical_plan(
    length: int, *, prediction_window: int, interpolation_window: int | None = None, given: int = 1, rounds: int = 1
) -> Hierarchy:
    """The least number of key frames, and the windows, for a video of ``length`` latent frames.

    Each of ``rounds`` rounds of interpolation (1 in LVDM) makes ``interpolation_window - 1`` steps of one, so that a
    key frame stands for ``(interpolation_window - 1) ** rounds`` frames; with none the video is predicted
    throughout. Raises ``ValueError`` for numbers that make no plan.
    """
    _at_least("length", length, 1)
    _at_least("rounds", rounds, 0)
    lengths = [length]
    if rounds:
        if interpolation_window is None:
            raise ValueError(f"rounds is {rounds}, but interpolation_window is not given; give it, or rounds 0")
        _at_least("interpolation_window", interpolation_window, 3)
        for _ in range(rounds):
            lengths.insert(0, _ceil(lengths[0] - 1, interpolation_window - 1) + 1)
    return Hierarchy(
        prediction=prediction_plan(lengths[0], prediction_window, given),
        interpolations=tuple(interpolation_plan(keys, interpolation_window) for keys in lengths[:-1]),
        lengths=tuple(lengths),
    )


def decoding_plan(length: int, window: int, overlap: int, factor: int = 4) -> tuple[Chunk, ...]:
    """Overlapped decoding of ``length`` latent frames in chunks of ``window``, of which neighbours share ``overlap``.

    ``factor`` is the number of frames that a latent frame becomes. Two chunks meet in the middle of what they share:
    every frame is kept once, and ``overlap * factor // 2`` frames or more lie between it and the borders of its chunk
    that are not ends of the video. The last chunk moves back to be whole and then shares more; a video of fewer than
    ``window`` latent frames is one shorter chunk. Raises ``ValueError`` for numbers that make no plan.
    """
    _at_least("length", length, 1)
    _at_least("window", window, 1)
    _at_least("factor", factor, 1)
    if not 0 <= overlap < window:
        raise ValueError(f"overlap is {overlap}, but chunks have {window} latent frames; choose 0 to {window - 1}")
    stride = window - overlap
    count = 1 + _ceil(max(length - window, 0), stride)
    starts = [max(min(index * stride, length - window), 0) for index in range(count)]
    latents = [range(start, min(start + window, length)) for start in starts]
    meetings = [(earlier.stop + later.start) * factor // 2 for earlier, later in pairwise(latents)]
    borders = pairwise([0, *meetings, length * factor])
    return tuple(Chunk(part, range(*border), factor) for part, border in zip(latents, borders, strict=True))


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} is {value}; it must be at least {least}")


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
