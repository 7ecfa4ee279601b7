import json
import math
from pathlib import Path

import numpy as np
import pytest

from lvdm.stages import latent_statistics


def write_cache(path: Path, moments: np.ndarray) -> Path:
    np.save(path, moments.astype(np.float16))
    path.with_suffix(".json").write_text(json.dumps({"windows": [["video", number] for number in range(len(moments))]}))
    return path


def make_moments(windows: int, mean: float = 3.0, std: float = 0.5, logvar: float = math.log(0.36)) -> np.ndarray:
    generator = np.random.default_rng(0)
    moments = np.empty((windows, 2, 4, 2, 3, 3))
    moments[:, 0] = mean + std * generator.standard_normal(moments[:, 0].shape)
    moments[:, 1] = logvar
    return moments


def measure(latents: list[Path], statistics: Path) -> dict[str, float]:
    latent_statistics.run(latents=latents, statistics=statistics)
    return json.loads(statistics.read_text())


def test_samples_are_scaled_to_zero_mean_and_unit_variance(tmp_path):
    moments = make_moments(400)
    scaling = measure([write_cache(tmp_path / "a.npy", moments)], tmp_path / "statistics.json")
    assert scaling["clips"] == 400
    generator = np.random.default_rng(1)
    samples = moments[:, 0] + np.exp(0.5 * moments[:, 1]) * generator.standard_normal(moments[:, 0].shape)
    scaled = scaling["scale"] * (samples + scaling["shift"])
    assert scaled.mean() == pytest.approx(0, abs=0.02)
    assert scaled.std() == pytest.approx(1, abs=0.01)
    assert scaling["scale"] == pytest.approx(1 / math.sqrt(0.25 + 0.36), rel=0.02)


def test_the_spread_over_files_changes_no_bit(tmp_path):
    moments = make_moments(30)
    whole = measure([write_cache(tmp_path / "whole.npy", moments)], tmp_path / "whole.json.out")
    parts = [
        write_cache(tmp_path / f"{n}.npy", part) for n, part in enumerate((moments[20:], moments[:0], moments[:20]))
    ]
    assert measure(parts, tmp_path / "parts.json.out") == whole


@pytest.mark.parametrize(
    "moments",
    [
        make_moments(3, std=0.0, logvar=-30.0),
        make_moments(3, mean=math.nan),
    ],
    ids=["constant", "nan"],
)
def test_latents_without_spread_are_an_error(tmp_path, moments):
    with pytest.raises(ValueError, match="the autoencoder learned nothing, or diverged"):
        measure([write_cache(tmp_path / "a.npy", moments)], tmp_path / "statistics.json")
    assert not (tmp_path / "statistics.json").exists()


def test_no_windows_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"lower data\.length"):
        measure([write_cache(tmp_path / "a.npy", make_moments(0))], tmp_path / "statistics.json")
