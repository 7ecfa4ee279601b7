"""Intervals cover, extrapolations arrive, floors are those of real clips alone, and all is seeded."""

import numpy as np
import pytest

from lvdm.evaluation.metrics import frechet_distance, inception_score, kernel_distance
from lvdm.evaluation.uncertainty import bootstrap_interval, extrapolate, floor, halves


def gaussian(count: int, generator: np.random.Generator, values: int = 20, scale: float = 1.0) -> np.ndarray:
    """Clips whose variances fall as those of features do."""
    sigma = np.sqrt(np.exp(-np.arange(values) / (values / 4)))
    return generator.normal(size=(count, values)) * sigma * scale


def interval(statistic, *samples: np.ndarray, seed: int = 0, resamples: int = 80, **options) -> tuple[float, float]:
    return bootstrap_interval(
        statistic, *samples, resamples=resamples, generator=np.random.default_rng(seed), **options
    )


@pytest.mark.parametrize(
    ("count_real", "count_fake", "values", "offset", "widest"),
    [
        (100, 100, 20, 0.4, 1.3),  # more clips than values, distributions apart
        (24, 24, 40, 0.4, 1.7),  # fewer clips than values
        (24, 120, 40, 0.4, 1.7),  # one side has few
        (100, 100, 20, 0.0, 2.5),  # the same distribution: wider than need be, but it covers
    ],
)
@pytest.mark.parametrize("statistic", [frechet_distance, kernel_distance])
def test_an_interval_covers(statistic, count_real, count_fake, values, offset, widest):
    """Of 80 data sets, what the distance is on average lies in nearly all intervals of 95 percent.

    Where the coverage were 95 percent, fewer than 70 of 80 would be found once in 5000 times.
    """
    generator = np.random.default_rng(0)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        return gaussian(count_real, generator, values), gaussian(count_fake, generator, values) + offset

    distances = np.array([statistic(*draw()) for _ in range(400)])
    intervals = np.array([interval(statistic, *draw(), seed=seed) for seed in range(80)])
    covered = (intervals[:, 0] <= distances.mean()) & (distances.mean() <= intervals[:, 1])
    assert covered.sum() >= 70
    # Wide enough, and no wider than `widest` times what it has to be.
    width = np.mean(intervals[:, 1] - intervals[:, 0])
    assert 0.85 < width / (2 * 1.96 * distances.std()) < widest


def test_the_usual_bootstrap_would_not_cover():
    """The reason for halves and for the shift: distances of resamples with repeats are all too large."""
    generator = np.random.default_rng(0)
    real, fake = gaussian(24, generator, 40), gaussian(24, generator, 40, 1.6)
    repeats = [
        frechet_distance(real[generator.integers(24, size=24)], fake[generator.integers(24, size=24)])
        for _ in range(200)
    ]
    value = frechet_distance(real, fake)
    assert np.quantile(repeats, 0.025) > value
    low, high = interval(frechet_distance, real, fake)
    assert low < value < high


def test_an_interval_of_a_mean_is_the_textbook_one():
    sample = np.random.default_rng(0).normal(size=(400, 1))
    low, high = interval(np.mean, sample, resamples=2000)
    half = 1.96 * sample.std(ddof=1) / np.sqrt(400)
    assert (low, high) == pytest.approx((sample.mean() - half, sample.mean() + half), abs=0.1 * half)


def test_an_interval_of_an_inception_score():
    probabilities = np.random.default_rng(0).dirichlet(np.full(8, 0.3), size=300)
    low, high = interval(lambda rows: inception_score(rows, splits=5)[0], probabilities)
    assert low < inception_score(probabilities, splits=5)[0] < high


def test_clips_of_one_video_are_drawn_together():
    """Ten equal clips a video say no more than one: without groups the interval would be too narrow."""
    generator = np.random.default_rng(0)
    real, fake = gaussian(40, generator), gaussian(600, generator, scale=1.5)
    many = np.repeat(real, 10, axis=0)
    videos = np.repeat(np.arange(40), 10)

    def width(*samples, **options) -> float:
        low, high = interval(lambda a, b: frechet_distance(a, b, ddof=0), *samples, resamples=200, **options)
        return high - low

    grouped = width(many, fake, groups=(videos, None))
    assert grouped == pytest.approx(width(real, fake), rel=1e-6)
    assert width(many, fake) < 0.8 * grouped


def test_groups_need_not_be_in_order_nor_of_one_size():
    generator = np.random.default_rng(0)
    sample = generator.normal(size=(30, 1))
    groups = generator.integers(7, size=30)
    seen = []

    def statistic(rows: np.ndarray) -> float:
        seen.append(rows)
        return 0.0

    interval(statistic, np.arange(30), resamples=50, groups=[groups])
    for rows in seen[:-1]:
        chosen = set(groups[rows])
        assert len(chosen) == 3
        assert rows.tolist() == np.flatnonzero(np.isin(groups, list(chosen))).tolist()
    assert seen[-1].tolist() == list(range(30))
    low, high = interval(np.mean, sample, groups=[groups])
    assert low < sample.mean() < high


def test_too_few_clips_or_videos_have_no_interval():
    clips = gaussian(30, np.random.default_rng(0))
    assert np.isnan(interval(frechet_distance, clips[:3], clips)).all()
    assert np.isnan(interval(frechet_distance, clips, clips, groups=(np.repeat([0, 1, 2], 10), None))).all()
    assert not np.isnan(interval(frechet_distance, clips[:4], clips)).any()


def test_groups_of_another_number_of_rows():
    clips = gaussian(30, np.random.default_rng(0))
    with pytest.raises(ValueError, match="groups of 29 rows were given for a sample of 30"):
        interval(frechet_distance, clips, clips, groups=(np.arange(29), None))


def test_intervals_are_seeded():
    generator = np.random.default_rng(0)
    real, fake = gaussian(40, generator), gaussian(40, generator)
    assert interval(frechet_distance, real, fake) == interval(frechet_distance, real, fake)
    assert interval(frechet_distance, real, fake) != interval(frechet_distance, real, fake, seed=1)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1.3, 0.3)])
@pytest.mark.parametrize(("count_real", "count_fake"), [(150, 150), (100, 400)])
def test_extrapolation_arrives_at_the_distance_of_the_distributions(count_real, count_fake, scale, offset):
    """Over many draws on average, where the distance of as many clips is far above it."""
    generator = np.random.default_rng(0)
    variance = np.exp(-np.arange(20) / 5).sum()
    expected = 20 * offset**2 + variance * (scale - 1) ** 2
    results = [
        extrapolate(gaussian(count_real, generator), gaussian(count_fake, generator, scale=scale) + offset, generator)
        for _ in range(60)
    ]
    values = np.array([result.value for result in results])
    bias = np.mean([result.values[-1] for result in results]) - expected
    error = values.std() / np.sqrt(len(values))
    assert bias > 5 * error
    assert abs(values.mean() - expected) < max(0.1 * bias, 4 * error)


def test_extrapolation_of_the_floor_of_2048_clips():
    """400 dimensions with a trace of 242: 10 at 2048 against 2048 clips of one distribution, and 0 without end."""
    eigenvalues = np.exp(-np.arange(400) / 60)
    sigma = np.sqrt(242 * eigenvalues / eigenvalues.sum())
    generator = np.random.default_rng(0)
    real, fake = generator.normal(size=(2, 2048, 400)) * sigma
    result = extrapolate(real, fake, generator, points=4, repeats=2)
    assert result.values[-1] == pytest.approx(10, rel=0.05)
    assert result.value == pytest.approx(0, abs=0.5)


def test_extrapolation_is_the_line_through_its_points():
    generator = np.random.default_rng(0)
    real, fake = gaussian(60, generator), gaussian(90, generator, scale=1.2)
    result = extrapolate(real, fake, np.random.default_rng(1), points=5)
    assert result.sizes.tolist() == [45, 56, 68, 79, 90]
    assert result.values[-1] == frechet_distance(real, fake)
    assert (np.diff(result.values) < 0).all()
    residuals = result.values - result.fit
    assert residuals.sum() == pytest.approx(0, abs=1e-9)
    assert residuals @ (1 / result.sizes) == pytest.approx(0, abs=1e-9)
    again = extrapolate(real, fake, np.random.default_rng(1), points=5)
    assert (again.value, again.values.tolist()) == (result.value, result.values.tolist())


def test_extrapolation_is_a_mean_over_subsets_of_the_same_share_of_both_sides():
    seen = []

    def statistic(real: np.ndarray, fake: np.ndarray) -> float:
        seen.append((len(real), len(fake)))
        return float(len(seen))

    result = extrapolate(
        np.zeros((40, 1)), np.zeros((80, 1)), np.random.default_rng(0), statistic=statistic, points=3, repeats=2
    )
    assert seen == [(20, 40), (20, 40), (30, 60), (30, 60), (40, 80)]
    assert result.values.tolist() == [1.5, 3.5, 5]


def test_extrapolation_draws_whole_videos():
    """Repeated clips are no more clips: by videos the fit is that of one clip a video."""
    generator = np.random.default_rng(0)
    real, fake = gaussian(60, generator), gaussian(60, generator)
    many, videos = np.repeat(real, 5, axis=0), np.repeat(np.arange(60), 5)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return frechet_distance(a, b, ddof=0)

    single = extrapolate(real, fake, np.random.default_rng(1), statistic=distance)
    by_video = extrapolate(many, fake, np.random.default_rng(1), statistic=distance, groups=(videos, None))
    by_clip = extrapolate(many, fake, np.random.default_rng(1), statistic=distance)
    assert by_video.value == pytest.approx(single.value, rel=1e-6)
    assert by_clip.value > single.value


def test_an_interval_of_an_extrapolation():
    """Nested, on row numbers: it covers the distance of the distributions, which that of the distance misses."""
    generator = np.random.default_rng(0)
    real, fake = gaussian(100, generator), gaussian(100, generator)

    def without_end(real_rows: np.ndarray, fake_rows: np.ndarray) -> float:
        seeded = np.random.default_rng(0)
        return extrapolate(real[real_rows], fake[fake_rows], seeded, points=3, repeats=1).value

    low, high = interval(without_end, np.arange(100), np.arange(100))
    assert low < 0 < high
    assert interval(frechet_distance, real, fake)[0] > 0


def test_too_few_clips_to_extrapolate():
    clips = gaussian(10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="3 real and 10 generated groups are too few"):
        extrapolate(clips[:3], clips, np.random.default_rng(0))


def test_halves_are_all_clips_and_share_no_video():
    videos = np.array(["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2)
    first, second = halves(videos, np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(14))
    assert not set(videos[first]) & set(videos[second])
    assert {len(first), len(second)} == {7}


@pytest.mark.parametrize("videos", [np.full(9, "only"), np.array(["a"] * 8 + ["b"])])
def test_halves_of_one_video_share_it(videos):
    first, second = halves(videos, np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(9))
    assert (len(first), len(second)) == (4, 5)


def test_the_floor_is_a_distance_of_real_clips():
    """On average that of two fresh sets of as many clips, and seeded."""
    generator = np.random.default_rng(0)
    real = gaussian(200, generator)
    fresh = np.mean([frechet_distance(gaussian(50, generator), gaussian(50, generator)) for _ in range(50)])
    floors = [floor(real, 50, np.random.default_rng(seed)) for seed in range(50)]
    assert np.mean(floors) == pytest.approx(fresh, rel=0.05)
    assert floors[0] == floor(real, 50, np.random.default_rng(0))
    assert len(set(floors)) == 50


def test_the_floor_is_between_videos():
    """Videos differ more than clips of one video do; halves of clips would not show it."""
    generator = np.random.default_rng(0)
    videos = np.repeat(np.arange(6), 20)
    real = gaussian(120, generator) + 3 * generator.normal(size=(6, 20))[videos]
    by_video = np.mean([floor(real, 60, np.random.default_rng(seed), groups=videos) for seed in range(5)])
    by_clip = np.mean([floor(real, 60, np.random.default_rng(seed)) for seed in range(5)])
    assert by_video > 3 * by_clip


def test_there_is_no_floor_of_more_clips_than_a_half_has():
    real = gaussian(21, np.random.default_rng(0))
    assert np.isnan(floor(real, 11, np.random.default_rng(0)))
    assert floor(real, 10, np.random.default_rng(0), statistic=kernel_distance) != 0
