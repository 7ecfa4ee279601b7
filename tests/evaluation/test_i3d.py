"""I3D: "same" padding, and files that hold its weights or do not."""

import io
from pathlib import Path

import pytest
import torch

from lvdm.config import NetworkFile
from lvdm.evaluation.config import DetectorConfig
from lvdm.evaluation.detectors import load_detector
from lvdm.evaluation.i3d import InceptionI3D, load_i3d, pad_same


@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (3, 1), (2, 2), (1, 1), (1, 2)])
def test_same_padding_keeps_the_size_over_the_stride_and_gives_the_end_the_odd_zero(kernel, stride):
    for size in range(1, 12):
        padded = pad_same(torch.ones(1, 1, size, 8, 8), (kernel, 1, 1), (stride, 1, 1))[0, 0, :, 0, 0]
        windows = (len(padded) - kernel) // stride + 1
        assert windows == -(-size // stride)
        before = padded.tolist().index(1)
        after = len(padded) - size - before
        assert after - before in (0, 1)
        if before + after:
            assert len(padded) == (windows - 1) * stride + kernel, "no zero that no window sees"


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def weights() -> bytes:
    torch.manual_seed(0)
    return saved(InceptionI3D().state_dict())


def detector(folder: Path, content: bytes):
    path = folder / "i3d.pt"
    path.write_bytes(content)
    config = DetectorConfig(kind="i3d-state-dict", file=NetworkFile(path=path, size=len(content)))
    return load_detector(config, path, torch.device("cpu"))


def test_a_detector_of_the_state_dictionary(weights, tmp_path):
    """Squares of any size are scaled to the network's; one clip's logits do not depend on another's."""
    clips = torch.randint(0, 256, (2, 9, 20, 20, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    i3d = detector(tmp_path, weights)
    features = i3d(clips)
    assert features.values.shape == (2, 400)
    assert features.probabilities is None
    torch.testing.assert_close(i3d(clips.flip(0)).values.flip(0), features.values)
    assert not torch.allclose(features.values[0], features.values[1])
    with pytest.raises(ValueError, match="takes at least 9 frames, but clips have 8"):
        i3d(clips[:, :8])


def test_weights_of_other_networks_are_refused(weights):
    with pytest.raises(ValueError, match=r"a\.pt holds no tensors as torch\.save writes them"):
        load_i3d(weights[: len(weights) // 2], "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt holds no weights of I3D"):
        load_i3d(saved([torch.zeros(3)]), "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt holds the weights of another network: 286 tensors are missing"):
        load_i3d(saved({"logits.conv3d.bias": torch.zeros(5)}), "a.pt")
