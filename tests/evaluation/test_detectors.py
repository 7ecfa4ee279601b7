"""Detectors: the call contract of TorchScript files, that none is loaded unverified, and the stand-in."""

import hashlib
import io
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lvdm.evaluation.config import DetectorConfig
from lvdm.evaluation.detectors import load_detector

CPU = torch.device("cpu")


class Contract(nn.Module):
    """Has the signature of StyleGAN-V's I3D, and returns 400 values that tell what it was given."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        if x.dim() != 5 or x.shape[1] != 3 or not x.is_floating_point():
            raise ValueError("expects float (B, 3, T, H, W)")
        if not (rescale and resize and return_features):
            raise ValueError("expects rescale, resize and return_features")
        described = torch.cat([x.mean(dim=(2, 3, 4)), x[:, 0, :, 0, 0], x.amax(dim=(1, 2, 3, 4)).unsqueeze(1)], dim=1)
        return torch.nn.functional.pad(described, (0, 400 - described.shape[1]))


@pytest.fixture(scope="module")
def script() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.script, which the published files are made by
        torch.jit.save(torch.jit.script(Contract()), buffer)
    return buffer.getvalue()


def torchscript(path: Path, content: bytes, sha256: str | None = None, features: int = 400) -> DetectorConfig:
    path.write_bytes(content)
    sha256 = sha256 or hashlib.sha256(content).hexdigest()
    return DetectorConfig(kind="torchscript", path=path, sha256=sha256, features=features)


def random_clips(count: int, length: int = 8, size: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, length, size, size, 3), generator=generator, dtype=torch.uint8)


def test_torchscript_gets_the_clip_as_the_contract_says(script, tmp_path):
    clips = random_clips(2)
    features = load_detector(torchscript(tmp_path / "i3d.pt", script), CPU)(clips)
    assert features.shape == (2, 400)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features[:, :3], clips.float().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(features[:, 3:11], clips[:, :, 0, 0, 0].float())
    assert features[:, 11].tolist() == [255, 255]


def test_wrong_checksum_is_not_loaded(script, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded before it was verified"))
    with pytest.raises(ValueError, match=r"i3d\.pt .* has the SHA-256 .* not loaded"):
        load_detector(torchscript(tmp_path / "i3d.pt", script, sha256="0" * 64), CPU)


def test_truncated_file(script, tmp_path):
    right = hashlib.sha256(script).hexdigest()
    with pytest.raises(ValueError, match="Fetch it again"):
        load_detector(torchscript(tmp_path / "i3d.pt", script[: len(script) // 2], sha256=right), CPU)
    with pytest.raises(ValueError, match="no TorchScript file"):
        load_detector(torchscript(tmp_path / "i3d.pt", script[: len(script) // 2]), CPU)


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("archive", [False, True])
def test_pickle_in_disguise(archive, tmp_path):
    trap = Trap(tmp_path / "trace")
    buffer = io.BytesIO()
    if archive:
        torch.save(trap, buffer)
    else:
        pickle.dump(trap, buffer)
    with pytest.raises(ValueError, match="no TorchScript file"):
        load_detector(torchscript(tmp_path / "i3d.pt", buffer.getvalue()), CPU)
    assert not trap.trace.exists()


def test_missing_file(tmp_path):
    config = DetectorConfig(kind="torchscript", path=tmp_path / "i3d.pt", sha256="0" * 64)
    with pytest.raises(ValueError, match="cannot be read"):
        load_detector(config, CPU)


def test_wrong_output_size(script, tmp_path):
    detector = load_detector(torchscript(tmp_path / "i3d.pt", script, features=2048), CPU)
    with pytest.raises(ValueError, match=r"\(2, 400\), but \(2, 2048\) is expected"):
        detector(random_clips(2))


def test_stand_in_is_seeded():
    clips = random_clips(2)
    features = load_detector(DetectorConfig(seed=3), CPU)(clips)
    assert features.shape == (2, 64)
    assert torch.equal(features, load_detector(DetectorConfig(seed=3), CPU)(clips))
    assert not torch.equal(features, load_detector(DetectorConfig(seed=4), CPU)(clips))


@pytest.mark.parametrize(("length", "size"), [(4, 16), (4, 128), (16, 16), (7, 33)])
def test_stand_in_takes_any_size(length, size):
    features = load_detector(DetectorConfig(features=10), CPU)(random_clips(2, length, size))
    assert features.shape == (2, 10)
    assert features.isfinite().all()


def smooth_clips(count: int, seed: int) -> np.ndarray:
    """Moving waves on a reddish ground, uint8 (count, 8, 32, 32, 3)."""
    generator = np.random.default_rng(seed)
    t, y, x = np.meshgrid(np.arange(8), np.arange(32), np.arange(32), indexing="ij")
    clips = []
    for _ in range(count):
        fx, fy, ft = generator.uniform(0.2, 0.6, 3)
        wave = np.sin(fx * x + fy * y + ft * t + generator.uniform(0, 6))
        clips.append(np.array([180, 100, 70]) + wave[..., None] * generator.uniform(30, 60, 3))
    return np.stack(clips).astype(np.uint8)


def test_stand_in_sees_colour_texture_and_motion():
    """Each change of the clips moves their features by more than other clips of the same kind do."""
    detector = load_detector(DetectorConfig(), CPU)

    def mean(clips: np.ndarray) -> Tensor:
        return detector(torch.from_numpy(clips)).mean(dim=0)

    clips = smooth_clips(64, seed=0)
    reference, floor = mean(clips), (mean(clips) - mean(smooth_clips(64, seed=1))).norm()
    gray = np.repeat(clips.mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    speckled = (clips + np.random.default_rng(0).integers(0, 40, clips.shape)).astype(np.uint8)
    frozen = np.repeat(clips[:, :1], 8, axis=1)
    for changed in (gray, speckled, frozen):
        assert (mean(changed) - reference).norm() > 2 * floor
