"""The scores of one model: every metric with its deviation and interval, and the curve against the number of clips."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from lvdm.evaluation.config import DetectorConfig, MetricsConfig
from lvdm.evaluation.manifold import density_coverage, precision_recall
from lvdm.evaluation.metrics import (
    frechet_distance,
    inception_score,
    jedi_distance,
    kernel_distance,
    kernel_distances_of_subsets,
)
from lvdm.evaluation.uncertainty import LEAST_GROUPS, Extrapolation, bootstrap_interval, extrapolate, floor

# The kernel distance compares all pairs; of more rows than these the interval is that of a random part.
_MOST_PAIRED = 4000

# Shares of the clips at which the curve is looked at besides those that it is extrapolated from.
_SMALL_SHARES = (0.125, 0.25, 0.375)


@dataclass(frozen=True, eq=False)
class Side:
    """Clips or frames that are compared: ``values`` (N, D), and ``groups`` (N,), the patient or video of each."""

    values: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def part(self, most: int, generator: np.random.Generator) -> "Side":
        """At most so many rows, chosen at random."""
        if len(self) <= most:
            return self
        rows = np.sort(generator.choice(len(self), most, replace=False))
        return Side(self.values[rows], self.groups[rows])


@dataclass(frozen=True, eq=False)
class Comparison:
    """What one repetition of a protocol compares; ``probabilities`` (n, K) of the generated ones."""

    real: Side
    fake: Side
    probabilities: np.ndarray | None = None
    note: str = ""


@dataclass(frozen=True)
class Score:
    """One metric: its value, its deviation over repetitions, subsets or parts, and its 95 percent interval."""

    metric: str
    value: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scorer:
    """Computes the metrics that a detector's features are made for, as a protocol says; all choices are seeded."""

    detector: DetectorConfig
    metrics: MetricsConfig
    seed: int

    def scores(self, runs: list[Comparison]) -> list[Score]:
        """Every metric; one without a value where there are too few clips for it."""
        found = []
        if self.detector.compares:
            kernel = self._jedi(runs) if self.detector.kind == "v-jepa" else self._kernel(runs)
            found += [*self._frechet(runs), kernel, *self._manifold(runs)]
        if self.detector.classifies:
            found.append(self._inception(runs))
        return found

    def windows(self, real: Side, windows: dict[int, Side]) -> list[Score]:
        """The Fréchet distance of clips that begin later in longer videos: ``fvd@16`` is from frame 16 on."""
        name = self._names()[0]
        return [
            Score(f"{name}@{start}", self._distance(real.values, fake.values) if _enough(real, fake) else None)
            for start, fake in windows.items()
        ]

    def curve(self, run: Comparison) -> list[dict[str, float]]:
        """The Fréchet distance of n generated clips against as large a share of the real ones, and its floor.

        ``value`` and ``fit``, the line in 1/n through the larger numbers; ``floor``, that of n real clips against n
        others, nan where there are not as many. Nothing where there are too few clips.
        """
        if not self.detector.compares or not _can_extrapolate(run):
            return []
        extrapolation = self._extrapolated(run)
        generator = self._generator(3)
        rows = {}
        for share in _SMALL_SHARES:
            real, fake = (side.part(max(2, int(share * len(side))), generator) for side in (run.real, run.fake))
            rows[len(fake)] = self._distance(real.values, fake.values)
        rows |= dict(zip(extrapolation.sizes.tolist(), extrapolation.values.tolist(), strict=True))
        return [
            {
                "n": size,
                "value": value,
                "fit": extrapolation.value + extrapolation.slope / size,
                "floor": floor(
                    run.real.values, size, self._generator(4), groups=run.real.groups, statistic=self._distance
                ),
            }
            for size, value in rows.items()
        ]

    def _frechet(self, runs: list[Comparison]) -> list[Score]:
        name = self._names()[0]
        if not _all_enough(runs):
            return [Score(name), Score(f"{name}_infinity")]
        score = _mean(name, [self._distance(run.real.values, run.fake.values) for run in runs])
        first = runs[0]
        interval = self._interval(score, self._distance, first.real, first.fake)
        endless = self._extrapolated(first).value if _can_extrapolate(first) else None
        return [interval, Score(f"{name}_infinity", endless)]

    def _kernel(self, runs: list[Comparison]) -> Score:
        name = self._names()[1]
        if not _all_enough(runs):
            return Score(name)
        kernel = self.metrics.kernel
        if kernel.subsets is None:
            score = _mean(name, [kernel_distance(run.real.values, run.fake.values) for run in runs])
        else:
            subsets = [
                kernel_distances_of_subsets(
                    run.real.values,
                    run.fake.values,
                    subsets=kernel.subsets,
                    size=kernel.subset_size,
                    generator=self._generator(0, number),
                )
                for number, run in enumerate(runs)
            ]
            score = _mean(name, [float(values.mean()) for values in subsets])
            sizes = {len(runs[0].real), len(runs[0].fake)}
            # Where a subset is everything, all are the same and their spread says nothing.
            if len(runs) == 1 and (len(sizes) > 1 or max(sizes) > kernel.subset_size):
                score = replace(score, std=float(subsets[0].std()))
        generator = self._generator(1)
        real, fake = (side.part(_MOST_PAIRED, generator) for side in (runs[0].real, runs[0].fake))
        pairs = _Kernels.of(real.values, fake.values)
        rows = [Side(np.arange(len(side)), side.groups) for side in (real, fake)]
        return self._interval(score, pairs.distance, *rows)

    def _jedi(self, runs: list[Comparison]) -> Score:
        if not _all_enough(runs):
            return Score("jedi")
        score = _mean("jedi", [jedi_distance(run.real.values, run.fake.values) for run in runs])
        return self._interval(score, jedi_distance, runs[0].real, runs[0].fake)

    def _manifold(self, runs: list[Comparison]) -> list[Score]:
        """Precision, recall, density and coverage, where there are more clips than neighbours."""
        names = ("precision", "recall", "density", "coverage")
        config = self.metrics.manifold
        least = max(config.precision_neighbours, config.density_neighbours) + 1
        if any(min(len(run.real), len(run.fake)) < least for run in runs):
            return [Score(name) for name in names]
        found = []
        for number, run in enumerate(runs):
            generator = self._generator(2, number)
            real, fake = (side.part(config.samples, generator).values for side in (run.real, run.fake))
            found.append(
                (
                    *precision_recall(real, fake, config.precision_neighbours),
                    *density_coverage(real, fake, config.density_neighbours),
                )
            )
        return [_mean(name, list(values)) for name, values in zip(names, zip(*found, strict=True), strict=True)]

    def _inception(self, runs: list[Comparison]) -> Score:
        """Of the generated clips alone."""
        name = "is" if self.detector.sees == "frames" else "video_is"
        splits = self.metrics.inception_splits
        if any(len(run.probabilities) < splits for run in runs):
            return Score(name)
        shuffle = self.metrics.inception_shuffle in ("all", self.detector.sees)
        found = [
            inception_score(run.probabilities, splits, self._generator(5, number) if shuffle else None)
            for number, run in enumerate(runs)
        ]
        return Score(name, *found[0]) if len(found) == 1 else _mean(name, [value for value, _ in found])

    def _interval(self, score: Score, statistic: Callable[..., float], real: Side, fake: Side) -> Score:
        """With the interval of ``statistic``, put about the value: it may be that of one repetition, or of a part."""
        enough = all(len(np.unique(side.groups)) >= LEAST_GROUPS for side in (real, fake))
        if not self.metrics.bootstrap or not enough:
            return score
        samples = real.values, fake.values
        low, high = bootstrap_interval(
            statistic,
            *samples,
            resamples=self.metrics.bootstrap,
            generator=self._generator(6),
            groups=(real.groups, fake.groups),
        )
        shift = score.value - statistic(*samples)
        return replace(score, low=low + shift, high=high + shift)

    def _extrapolated(self, run: Comparison) -> Extrapolation:
        return _extrapolate(run, self.metrics.ddof, self.metrics.curve_points, self.seed)

    def _distance(self, real: np.ndarray, fake: np.ndarray) -> float:
        return frechet_distance(real, fake, self.metrics.ddof)

    def _names(self) -> tuple[str, str]:
        """Of both distances; only of the networks that papers use have they the names that papers use."""
        if self.detector.kind in ("i3d", "i3d-state-dict"):
            return "fvd", "kvd"
        if self.detector.kind == "videomae":
            return "cd_fvd", "kernel_distance"
        return ("fid", "kid") if self.detector.kind == "inception" else ("frechet_distance", "kernel_distance")

    def _generator(self, *purpose: int) -> np.random.Generator:
        """A generator for one purpose, so that no number depends on which others are computed."""
        return np.random.default_rng((self.seed, *purpose))


@dataclass(frozen=True, eq=False)
class _Kernels:
    """The cubic kernel between all pairs, so that distances of many parts cost sums only."""

    real: np.ndarray
    fake: np.ndarray
    between: np.ndarray

    @classmethod
    def of(cls, real: np.ndarray, fake: np.ndarray) -> "_Kernels":
        real, fake = real.astype(np.float64), fake.astype(np.float64)
        return cls(*((a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((real, real), (fake, fake), (real, fake))))

    def distance(self, real: np.ndarray, fake: np.ndarray) -> float:
        """The unbiased kernel distance of some rows."""
        within = 0.0
        for kernel, rows in ((self.real, real), (self.fake, fake)):
            part = kernel[np.ix_(rows, rows)]
            within += (part.sum() - np.trace(part)) / (len(rows) * (len(rows) - 1))
        return float(within - 2 * self.between[np.ix_(real, fake)].mean())


@lru_cache(maxsize=1)  # the scores and the curve want the same one, which takes minutes where frames are many
def _extrapolate(run: Comparison, ddof: int, points: int, seed: int) -> Extrapolation:
    return extrapolate(
        run.real.values,
        run.fake.values,
        np.random.default_rng((seed, 7)),
        statistic=partial(frechet_distance, ddof=ddof),
        groups=(run.real.groups, run.fake.groups),
        points=points,
    )


def _mean(name: str, values: list[float]) -> Score:
    return Score(name, float(np.mean(values)), float(np.std(values)) if len(values) > 1 else None)


def _enough(real: Side, fake: Side) -> bool:
    return min(len(real), len(fake)) >= 2


def _all_enough(runs: list[Comparison]) -> bool:
    return all(_enough(run.real, run.fake) for run in runs)


def _can_extrapolate(run: Comparison) -> bool:
    return all(len(np.unique(side.groups)) >= LEAST_GROUPS for side in (run.real, run.fake))
