import math

import pytest
import torch

from lvdm.diffusion.config import FrameConditionConfig
from lvdm.diffusion.masks import draw_masks

CLIPS = 4000


def draw(task, length=4, seed=0, clips=CLIPS, **fields):
    generator = torch.Generator().manual_seed(seed)
    return draw_masks(FrameConditionConfig(**fields), task, clips, length, generator)


def test_shape_and_values():
    masks = draw("prediction", clips=3)
    assert masks.shape == (3, 1, 4, 1, 1)
    assert masks.dtype == torch.float32
    assert set(draw("prediction").unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("task", ["prediction", "interpolation"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_share_of_clips_with_given_frames(task, share):
    drawn = draw(task, share=share).flatten(1).any(dim=1).float().mean().item()
    assert drawn == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / CLIPS) + 1e-9)


def test_prediction_gives_leading_frames_in_equally_likely_numbers():
    masks = draw("prediction", length=6, share=1.0, given=(1, 2, 4)).flatten(1)
    numbers = masks.sum(dim=1)
    expected = torch.arange(6) < numbers[:, None]
    assert torch.equal(masks.bool(), expected)
    for number in (1, 2, 4):
        assert (numbers == number).float().mean().item() == pytest.approx(1 / 3, abs=3 * math.sqrt(2 / 9 / CLIPS))
    assert set(numbers.tolist()) == {1.0, 2.0, 4.0}


def test_interpolation_gives_the_first_and_the_last_frame():
    masks = draw("interpolation", length=5, share=1.0).flatten(1)
    assert torch.equal(masks, torch.tensor([1.0, 0, 0, 0, 1]).expand(CLIPS, 5))


def test_an_unconditional_model_is_given_nothing():
    assert not draw("unconditional", share=1.0).any()


@pytest.mark.parametrize("task", ["prediction", "interpolation"])
def test_the_generator_alone_decides(task):
    assert torch.equal(draw(task, clips=50), draw(task, clips=50))
    assert not torch.equal(draw(task, clips=50), draw(task, clips=50, seed=1))


def test_every_task_takes_as_much_from_the_generator():
    following = []
    for task in ("unconditional", "prediction", "interpolation"):
        generator = torch.Generator().manual_seed(0)
        draw_masks(FrameConditionConfig(), task, 3, 4, generator)
        following.append(torch.rand(1, generator=generator).item())
    assert len(set(following)) == 1


def test_nothing_left_to_generate_is_refused():
    with pytest.raises(ValueError, match="4 given frames, but a clip has 4 latent frames; give fewer"):
        draw("prediction", length=4, given=(1, 4))
    with pytest.raises(ValueError, match="a clip has 2 latent frames; make clips longer"):
        draw("interpolation", length=2)
