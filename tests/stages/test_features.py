"""Stage features: one source, the clips of the protocol, and the same numbers however files are cut."""

import numpy as np
import pytest
import torch

from lvdm.config import NetworkFile
from lvdm.data.config import ClipConfig
from lvdm.data.shards import Entry, whole_videos, write_shard
from lvdm.evaluation.config import DetectorConfig, ResizeConfig, SelectionConfig
from lvdm.evaluation.preprocessing import through_jpeg
from lvdm.files import content_hash
from lvdm.stages import features
from lvdm.stages.config import FeaturesConfig

CONFIG = FeaturesConfig(
    clip=ClipConfig(resolution=16, length=4, step=2), selection=SelectionConfig(starts="all"), batch_size=4
)
# Windows: 4 frames, a window every 2: 8 frames hold 3.
TRAIN = {"anna": 8, "carl": 8, "dora": 8}
HELDOUT = {"bert": 8}


def write(path, videos: dict[str, int]):
    def frames(name: str):
        generator = np.random.default_rng(sum(name.encode()))
        yield generator.integers(0, 256, (videos[name], 16, 16, 3), dtype=np.uint8)

    write_shard(path, 16, whole_videos(videos), frames)
    return path


@pytest.fixture
def shards(tmp_path):
    first, second = dict(list(TRAIN.items())[:2]), dict(list(TRAIN.items())[2:])
    return [
        write(tmp_path / "train-000.npy", first),
        write(tmp_path / "train-001.npy", second),
        write(tmp_path / "heldout-000.npy", HELDOUT),
    ]


@pytest.fixture
def clips(tmp_path):
    path = tmp_path / "clips.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (7, 4, 16, 16, 3), dtype=np.uint8))
    return path


class FrameMeans(torch.nn.Module):
    """A network of frames (B, 3, H, W) in [-1, 1]: the mean of each colour."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.mean(dim=(2, 3))


@pytest.fixture
def frame_network(tmp_path):
    """Its file, and the detector that it is."""
    path = tmp_path / "means.pt"
    torch.jit.script(FrameMeans()).save(str(path))
    return path, DetectorConfig(kind="image", file=NetworkFile(path=path, sha256=content_hash(path)), features=3)


def run(path, config=CONFIG, **source):
    features.run(config, features=path, **source)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def changed(config, **selection):
    return config.replace(selection={**config.selection.model_dump(mode="json"), **selection})


def test_real_clips_are_ordered_by_video(shards, tmp_path):
    found = run(tmp_path / "real.npz", shards=shards)
    assert found["videos"].tolist() == ["anna"] * 3 + ["bert"] * 3 + ["carl"] * 3 + ["dora"] * 3
    assert found["firsts"].tolist() == [0, 2, 4] * 4
    assert found["groups"].tolist() == found["videos"].tolist()
    assert found["runs"].tolist() == [list(range(12))]
    assert found["values"].shape == (12, 64)


def test_real_clips_lie_in_pieces_and_know_their_group(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (14, 16, 16, 3), dtype=np.uint8)
    entries = [Entry("anna-2", (5, 3, 6), "anna"), Entry("anna-1", (14,), "anna"), Entry("bert", (1, 13), "bert")]
    write_shard(tmp_path / "train-000.npy", 16, entries, lambda name: [frames])
    found = run(tmp_path / "real.npz", shards=[tmp_path / "train-000.npy"])
    assert found["videos"].tolist() == ["anna-1"] * 6 + ["anna-2"] * 3 + ["bert"] * 5
    assert found["groups"].tolist() == ["anna"] * 9 + ["bert"] * 5
    assert found["firsts"].tolist() == [0, 2, 4, 6, 8, 10, *(0, 8, 10), *(1, 3, 5, 7, 9)]
    # The same frames give the same features, wherever they lie.
    np.testing.assert_allclose(found["values"][7], found["values"][4], rtol=1e-4, atol=1e-5)


def test_clips_that_are_not_square(frame_network, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (8, 16, 24, 3), dtype=np.uint8)
    write_shard(tmp_path / "train-000.npy", (16, 24), [Entry("anna", (8,), "anna")], lambda name: [frames])
    config = CONFIG.replace(clip={"resolution": [16, 24], "length": 4, "step": 2})
    assert run(tmp_path / "real.npz", config, shards=[tmp_path / "train-000.npy"])["values"].shape == (3, 64)
    assert run(tmp_path / "noise.npz", config, noise=3)["values"].shape == (3, 64)
    network, detector = frame_network
    config = config.replace(detector=detector.model_dump(mode="json"))
    found = run(tmp_path / "frames.npz", config, shards=[tmp_path / "train-000.npy"], network=network)
    np.testing.assert_allclose(found["values"], frames.mean(axis=(1, 2)) / 127.5 - 1, atol=1e-5)
    # A protocol that resizes compares squares: the shorter side is scaled, and the centre cut out.
    resize = config.replace(resize={"size": 16}, clip={"resolution": 16, "length": 4, "step": 2})
    found = run(tmp_path / "squares.npz", resize, shards=[tmp_path / "train-000.npy"], network=network)
    np.testing.assert_allclose(found["values"], frames[:, :, 4:20].mean(axis=(1, 2)) / 127.5 - 1, atol=1e-5)


def test_real_clips_do_not_depend_on_the_shards(shards, tmp_path):
    one = write(tmp_path / "other" / "train-000.npy", {**HELDOUT, **dict(reversed(TRAIN.items()))})
    run(tmp_path / "a.npz", shards=shards[::-1], store=tmp_path / "parts-a")
    run(tmp_path / "b.npz", shards=[one], store=tmp_path / "parts-b")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_random_clips_in_runs(shards, tmp_path):
    config = changed(CONFIG, starts="random").replace(runs=6)
    found = run(tmp_path / "real.npz", config, shards=shards)
    assert found["runs"].shape == (6, 4)
    for rows in found["runs"]:
        assert found["videos"][rows].tolist() == ["anna", "bert", "carl", "dora"]
    assert set(found["firsts"]) <= {0, 1, 2, 3, 4}
    assert len(found["values"]) == len(set(zip(found["videos"], found["firsts"], strict=True)))


def test_everything_serves_as_reference(shards, tmp_path):
    config = changed(CONFIG, starts="random").replace(everything=True)
    found = run(tmp_path / "train.npz", config, shards=shards)
    assert list(zip(found["videos"], found["firsts"], strict=True))[:12] == [
        (name, first) for name in ["anna", "bert", "carl", "dora"] for first in (0, 2, 4)
    ]
    assert found["runs"].shape == (1, 4)


def test_at_most_so_many_clips(shards, tmp_path):
    everything = run(tmp_path / "all.npz", shards=shards)["values"]
    found = run(tmp_path / "some.npz", changed(CONFIG, clips=5, choice="random"), shards=shards)
    assert len(found["values"]) == len(found["videos"]) == 5
    # Each is one of all, up to the last bits that its place in a batch may change.
    gaps = np.abs(found["values"][:, None] - everything[None]).max(axis=-1).min(axis=1)
    assert gaps.max() < 1e-5


def test_real_videos_that_are_too_short_are_left_out_with_a_remark(shards, tmp_path, caplog):
    short = write(tmp_path / "train-002.npy", {"emil": 3})
    assert "emil" not in run(tmp_path / "real.npz", shards=[*shards, short])["videos"]
    assert "1 of 5 real videos are left out, as none of their continuous pieces is as long as a clip" in caplog.text
    with pytest.raises(ValueError, match="none of 1 videos has the 4 continuous frames that a clip spans"):
        run(tmp_path / "real.npz", shards=[short])


def test_a_split_without_a_usable_video_gives_no_features(tmp_path, caplog):
    found = run(tmp_path / "heldout.npz", shards=[write(tmp_path / "heldout-000.npy", {})])
    assert found["values"].shape == (0, 64)
    assert found["runs"].shape == (1, 0)
    assert "nothing to compare with" in caplog.text


def test_generated_clips_do_not_depend_on_chunks(clips, tmp_path):
    whole = np.load(clips)
    paths = []
    for number, part in enumerate((whole[:2], whole[2:3], whole[3:])):
        paths.append(tmp_path / f"{number:04}.npy")
        np.save(paths[-1], part)
    found = run(tmp_path / "a.npz", clips=paths, store=tmp_path / "parts-a")
    run(tmp_path / "b.npz", clips=[clips], store=tmp_path / "parts-b")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert found["videos"].tolist() == found["groups"].tolist() == [str(number) for number in range(7)]


def test_what_was_computed_before_changes_nothing(clips, tmp_path):
    first = run(tmp_path / "a.npz", clips=[clips])
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / ".parts").iterdir()}
    run(tmp_path / "b.npz", clips=[clips])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / ".parts").iterdir()} == parts
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    other = run(tmp_path / "c.npz", CONFIG.replace(detector={"kind": "random3d", "seed": 1}), clips=[clips])
    assert not np.array_equal(other["values"], first["values"])


def test_a_longer_video_is_cut_at_several_starts(tmp_path):
    path = tmp_path / "long.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (3, 10, 16, 16, 3), dtype=np.uint8))
    found = run(tmp_path / "a.npz", changed(CONFIG, starts="first", window_step=3), clips=[path])
    assert found["starts"].tolist() == [0, 3, 6]
    for start, rows in zip(found["starts"], found["windows"], strict=True):
        assert found["videos"][rows].tolist() == ["0", "1", "2"]
        assert set(found["firsts"][rows]) == {start}
    assert found["windows"][0].tolist() == found["runs"][0].tolist()


def test_noise_is_seeded(tmp_path):
    first = run(tmp_path / "a.npz", noise=6)["values"]
    assert first.shape == (6, 64)
    np.testing.assert_array_equal(first, run(tmp_path / "a.npz", noise=6)["values"])
    assert not np.array_equal(first, run(tmp_path / "a.npz", CONFIG.replace(seed=1), noise=6)["values"])


def test_a_detector_of_frames_sees_each_frame_once(shards, frame_network, tmp_path):
    network, detector = frame_network
    config = CONFIG.replace(detector=detector.model_dump(mode="json"))
    found = run(tmp_path / "real.npz", config, shards=shards, network=network)
    assert found["values"].shape == (4 * 8, 3)
    assert found["firsts"].tolist() == list(range(8)) * 4
    frames = np.random.default_rng(sum(b"anna")).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    np.testing.assert_allclose(found["values"][:8], frames.mean(axis=(1, 2)) / 127.5 - 1, atol=1e-5)
    few = run(tmp_path / "few.npz", changed(config, max_frames=5), shards=shards, network=network)
    assert few["firsts"].tolist() == [0, 1, 2, 3, 4]


def test_jpeg_before_the_detector(clips, frame_network, tmp_path):
    network, detector = frame_network
    config = changed(CONFIG.replace(detector=detector.model_dump(mode="json")), jpeg_quality=50)
    found = run(tmp_path / "a.npz", config, clips=[clips], network=network)["values"]
    lossy = np.stack([through_jpeg(clip, 50) for clip in np.load(clips)])
    np.testing.assert_allclose(found, lossy.mean(axis=(2, 3)).reshape(-1, 3) / 127.5 - 1, atol=1e-5)


def test_another_size_is_an_error_unless_the_protocol_resizes(tmp_path):
    path = tmp_path / "large.npy"
    np.save(path, np.zeros((2, 4, 24, 32, 3), dtype=np.uint8))
    with pytest.raises(
        ValueError, match="video 0 has frames of 32x24 pixels, but 16x16 are compared; nothing is resam"
    ):
        run(tmp_path / "out" / "a.npz", clips=[path])
    assert not list(tmp_path.glob("out/*.npz"))
    config = CONFIG.replace(resize=ResizeConfig(size=16).model_dump(mode="json"))
    assert len(run(tmp_path / "a.npz", config, clips=[path])["values"]) == 2


def test_a_generated_video_that_is_too_short(tmp_path):
    np.save(tmp_path / "clips.npy", np.zeros((2, 3, 16, 16, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="generated video 0 has 3 frames, but a clip of the protocol spans 4"):
        run(tmp_path / "a.npz", clips=[tmp_path / "clips.npy"])


def test_one_source_is_needed(shards, tmp_path):
    for source in ({}, {"noise": 3, "shards": shards}):
        with pytest.raises(ValueError, match="give one of"):
            run(tmp_path / "a.npz", **source)
