"""Detectors: the call contract of each kind, that no file is loaded unverified, and the stand-in."""

import hashlib
import io
import itertools
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from lvdm.config import NetworkFile, parse
from lvdm.evaluation.config import DetectorConfig
from lvdm.evaluation.detectors import Detector, load_detector

CPU = torch.device("cpu")


class I3D(nn.Module):
    """The signature of StyleGAN-V's I3D; its 400 values tell what it was given."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        if x.dim() != 5 or x.shape[1] != 3:
            raise ValueError("expects (B, 3, T, H, W)")
        if not (rescale and resize and return_features):
            raise ValueError("expects rescale, resize and return_features")
        x = x.float()
        described = torch.cat([x.mean(dim=(2, 3, 4)), x[:, 0, :, 0, 0], x.amax(dim=(1, 2, 3, 4)).unsqueeze(1)], dim=1)
        return torch.nn.functional.pad(described, (0, 400 - described.shape[1]))


class Inception(nn.Module):
    """The signature of NVIDIA's Inception 2015-12-05, with 2048 features and 1008 classes."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("weight", torch.randn(3, 1008, generator=generator) / 255)
        self.register_buffer("bias", torch.randn(1008, generator=generator))

    def forward(
        self, img: Tensor, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False
    ) -> Tensor:
        if img.dim() != 4 or img.shape[1] != 3:
            raise ValueError("expects (B, 3, H, W)")
        means = img.float().mean(dim=(2, 3))
        if return_features:
            return torch.nn.functional.pad(means, (0, 2045))
        logits = means @ self.weight
        return (logits if no_output_bias else logits + self.bias).softmax(dim=1)


class C3D(nn.Module):
    """The signature of StyleGAN-V's C3D: 101 probabilities of clips of levels."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 5 or x.shape[1] != 3 or x.shape[2] != 16:
            raise ValueError("expects (B, 3, 16, H, W)")
        return torch.nn.functional.pad(x.float().mean(dim=(2, 3, 4)), (0, 98)).softmax(dim=1)


class Logits(C3D):
    """A C3D that leaves the softmax to others."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean(dim=(2, 3, 4))


class Plain(nn.Module):
    """Any network of clips or frames in [-1, 1]: the least and greatest value, and the mean of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        return torch.cat([x.flatten(1).aminmax(dim=1)[0][:, None], x.flatten(1).amax(dim=1)[:, None], flat.mean(2)], 1)


class Pair(nn.Module):
    """Gives two tensors where one is wanted."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Elsewhere(nn.Module):
    """Has its weights on a device that stays as it was when the network was saved."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(x.shape[0], 5, device="meta")


def script(network: nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.script, which the published files are made by
        torch.jit.save(torch.jit.script(network), buffer)
    return buffer.getvalue()


def load(folder: Path, kind: str, content: bytes | nn.Module, sha256: str | None = None, **settings) -> Detector:
    content = script(content) if isinstance(content, nn.Module) else content
    path = folder / f"{kind}.pt"
    path.write_bytes(content)
    file = NetworkFile(path=path, sha256=sha256 or hashlib.sha256(content).hexdigest())
    return load_detector(DetectorConfig(kind=kind, file=file, **settings), path, CPU)


@pytest.mark.parametrize(
    ("kind", "network"), [("i3d", I3D), ("inception", Inception), ("c3d", C3D), ("i3d-state-dict", None)]
)
def test_networks_that_stretch_take_squares_only(kind, network, tmp_path):
    """On the way in: what the network would say of such frames does not matter."""
    config = DetectorConfig(kind=kind, file=NetworkFile(path=Path("a.pt"), size=1))
    detector = Detector(config, network() if network else None, CPU, "it")
    with pytest.raises(ValueError, match=rf"kind `{kind}` takes square frames .* 32x24 pixels; .*`resize`"):
        detector(random_clips(2, 16)[:, :, :24])
    assert config.takes_squares
    assert not DetectorConfig().takes_squares


def test_the_stand_in_takes_frames_that_are_not_square():
    detector = load_detector(DetectorConfig(), None, CPU)
    wide, high = random_clips(2)[:, :, :16], random_clips(2)[:, :, :, :16]
    assert detector(wide).values.shape == detector(high).values.shape == (2, 64)


def random_clips(count: int, length: int = 8, size: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, length, size, size, 3), generator=generator, dtype=torch.uint8)


# ------------------------------------------------------------------------------------- call contracts


def test_i3d_gets_levels_and_its_keywords(tmp_path):
    clips = random_clips(2)
    features = load(tmp_path, "i3d", I3D())(clips)
    assert features.values.shape == (2, 400)
    assert features.values.dtype == torch.float32
    assert features.probabilities is None
    torch.testing.assert_close(features.values[:, :3], clips.float().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(features.values[:, 3:11], clips[:, :, 0, 0, 0].float())
    assert features.values[:, 11].tolist() == [255, 255]


def test_inception_gets_frames_and_is_called_for_features_and_for_probabilities(tmp_path):
    clips, network = random_clips(2, length=3), Inception()
    detector = load(tmp_path, "inception", network)
    features = detector(clips)
    means = clips.float().mean(dim=(2, 3)).flatten(0, 1)
    assert features.values.shape == (6, 2048)
    torch.testing.assert_close(features.values[:, :3], means)
    torch.testing.assert_close(features.probabilities, (means @ network.weight).softmax(dim=1))
    assert detector.config.sees == "frames"
    assert detector.config.classifies


def test_c3d_gets_levels_and_gives_probabilities(tmp_path):
    clips = random_clips(2, length=16)
    detector = load(tmp_path, "c3d", C3D())
    features = detector(clips)
    assert features.probabilities.shape == (2, 101)
    torch.testing.assert_close(features.probabilities, C3D()(clips.permute(0, 4, 1, 2, 3)))
    assert torch.equal(features.values, features.probabilities)
    with pytest.raises(ValueError, match="c3d` takes clips of 16 frames, but these have 8"):
        detector(random_clips(2))


@pytest.mark.parametrize(("kind", "rows"), [("video", 2), ("videomae", 2), ("v-jepa", 2), ("image", 16)])
def test_any_other_network_gets_values_between_minus_one_and_one(kind, rows, tmp_path):
    clips = random_clips(2)
    features = load(tmp_path, kind, Plain(), features=5)(clips).values
    assert features.shape == (rows, 5)
    assert features[:, :2].aminmax() == (-1, 1)
    means = (clips.float() / 127.5 - 1).mean(dim=(2, 3) if kind == "image" else (1, 2, 3))
    torch.testing.assert_close(features[:, 2:], means.reshape(-1, 3))


def test_a_clip_has_the_same_features_in_the_first_batch_and_in_later_ones(tmp_path):
    detector, clips = load(tmp_path, "video", Plain(), features=5), random_clips(2)
    first, *later = (detector(clips).values for _ in range(4))
    assert all(torch.equal(first, features) for features in later)


# --------------------------------------------------------------------------------------------- errors


def test_a_file_is_not_loaded_before_it_is_verified(tmp_path, monkeypatch):
    content = script(I3D())
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded before it was verified"))
    with pytest.raises(ValueError, match=r"i3d\.pt .* has the sha256 .* not loaded"):
        load(tmp_path, "i3d", content, sha256="0" * 64)


def test_truncated_file(tmp_path):
    content = script(I3D())
    with pytest.raises(ValueError, match="Fetch it again"):
        load(tmp_path, "i3d", content[: len(content) // 2], sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(ValueError, match="no TorchScript file"):
        load(tmp_path, "i3d", content[: len(content) // 2])


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("kind", ["i3d", "i3d-state-dict"])
def test_pickle_in_disguise(kind, archive, tmp_path):
    trap = Trap(tmp_path / "trace")
    buffer = io.BytesIO()
    if archive:
        torch.save(trap, buffer)
    else:
        pickle.dump(trap, buffer)
    with pytest.raises(ValueError, match=r"no TorchScript file|holds no tensors"):
        load(tmp_path, kind, buffer.getvalue())
    assert not trap.trace.exists()


def test_missing_file(tmp_path):
    config = DetectorConfig(kind="i3d", file=NetworkFile(path=tmp_path / "i3d.pt", size=1))
    with pytest.raises(ValueError, match="cannot be read"):
        load_detector(config, tmp_path / "i3d.pt", CPU)
    with pytest.raises(ValueError, match="needs its file; give --network"):
        load_detector(config, None, CPU)


def test_wrong_output_size(tmp_path):
    with pytest.raises(ValueError, match=r"i3d\.pt gives 400 values, but `features` of this detector is 2048"):
        load(tmp_path, "i3d", I3D(), features=2048)(random_clips(2))
    with pytest.raises(ValueError, match=r"gives the shape \(2, 3, 8, 32, 32\), but \(2, values\) is needed"):
        load(tmp_path, "video", nn.Identity(), features=5)(random_clips(2))
    with pytest.raises(ValueError, match="gives a tuple, but one tensor"):
        load(tmp_path, "video", Pair(), features=5)(random_clips(2))


def test_wrong_device(tmp_path):
    with pytest.raises(ValueError, match=r"clips are on meta, but .* is on cpu"):
        load(tmp_path, "i3d", I3D())(random_clips(2).to("meta"))
    with pytest.raises(ValueError, match=r"video\.pt was loaded to cpu, but what it gives is on meta"):
        load(tmp_path, "video", Elsewhere(), features=5)(random_clips(2))


def test_logits_for_probabilities(tmp_path):
    with pytest.raises(ValueError, match="no probabilities"):
        load(tmp_path, "c3d", Logits(), features=3)(random_clips(2, length=16))


@pytest.mark.parametrize(("kind", "network"), [("i3d", C3D()), ("inception", I3D()), ("c3d", Inception())])
def test_a_network_of_another_kind(kind, network, tmp_path):
    with pytest.raises(ValueError, match=rf"{kind}\.pt cannot be called as kind `{kind}` is, with clips \(1, 16"):
        load(tmp_path, kind, network)(random_clips(1, length=16))


# ------------------------------------------------------------------------------------- configuration


def test_values_of_known_networks_are_known():
    file = NetworkFile(path=Path("a.pt"), size=1)
    found = {kind: DetectorConfig(kind=kind, file=file).features for kind in ("i3d", "inception", "c3d")}
    assert found == {"i3d": 400, "inception": 2048, "c3d": 101}
    with pytest.raises(ValueError, match="kind `image` needs `features`"):
        DetectorConfig(kind="image", file=file)


def test_every_kind_but_the_stand_in_has_a_file():
    with pytest.raises(ValueError, match="every other kind needs one"):
        DetectorConfig(kind="i3d")
    with pytest.raises(ValueError, match="`random3d` takes no `file`"):
        DetectorConfig(file=NetworkFile(path=Path("a.pt"), size=1))


# -------------------------------------------------------------------------------------- the stand-in


def stand_in(**settings) -> Detector:
    return load_detector(DetectorConfig(**settings), None, CPU)


def test_stand_in_is_seeded():
    clips = random_clips(2)
    features = stand_in(seed=3)(clips).values
    assert features.shape == (2, 64)
    assert torch.equal(features, stand_in(seed=3)(clips).values)
    assert not torch.equal(features, stand_in(seed=4)(clips).values)


@pytest.mark.parametrize(("length", "size"), [(4, 16), (4, 128), (16, 16), (7, 33)])
def test_stand_in_takes_any_size(length, size):
    features = stand_in(features=10)(random_clips(2, length, size)).values
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
    detector = stand_in()

    def mean(clips: np.ndarray) -> Tensor:
        return detector(torch.from_numpy(clips)).values.mean(dim=0)

    clips = smooth_clips(64, seed=0)
    reference, floor = mean(clips), (mean(clips) - mean(smooth_clips(64, seed=1))).norm()
    gray = np.repeat(clips.mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    speckled = (clips + np.random.default_rng(0).integers(0, 40, clips.shape)).astype(np.uint8)
    frozen = np.repeat(clips[:, :1], 8, axis=1)
    for changed in (gray, speckled, frozen):
        assert (mean(changed) - reference).norm() > 2 * floor


# ------------------------------------------------------------------------------ the networks of papers


def commented(text: str, first: str) -> dict:
    """The YAML in a block of comments that begins with the key ``first``."""
    lines = iter(text.splitlines())
    block = [next(line for line in lines if line.strip() == f"# {first}:"), *lines]
    prefix = block[0].partition(first)[0]
    taken = itertools.takewhile(lambda line: line.startswith(prefix), block)
    return yaml.safe_load("\n".join(line.removeprefix(prefix) for line in taken))


def test_the_networks_that_come_with_the_configuration():
    """Those that are active can be verified; those in comments are right, too, for who makes them active."""
    text = (Path(__file__).parents[2] / "config" / "detectors.yaml").read_text()
    detectors = yaml.safe_load(text)["evaluate"]["detectors"]
    for name, settings in detectors.items():
        file = parse(DetectorConfig, settings, source=name).file
        assert file.verifiable
        assert file.licence
    c3d = parse(DetectorConfig, commented(text, "c3d")["c3d"], source="c3d")
    assert not c3d.file.verifiable
    vgg = commented(text, "autoencoder")["autoencoder"]["loss"]["perceptual"]
    assert parse(NetworkFile, vgg, source="vgg16").verifiable
