"""The diffusion model's training, on latents whose best denoiser is known."""

import numpy as np
import pytest
import torch

from lvdm.compute import Compute
from lvdm.diffusion.config import ObjectiveConfig, ScheduleConfig
from lvdm.models.config import UNetConfig
from lvdm.training.config import DiffusionModelConfig, DiffusionTrainingConfig, LatentScaling
from lvdm.training.diffusion import DiffusionTraining

SHAPE = (4, 2, 4, 4)
SCALING = LatentScaling(shift=-5.0, scale=0.5, clips=2)


def make(objective: ObjectiveConfig, **training) -> DiffusionTraining:
    model = DiffusionModelConfig(
        model=UNetConfig(
            model_channels=32, channel_mult=(1,), residual_blocks=1, attention_downsampling=(), temporal_length=2
        ),
        schedule=ScheduleConfig(),
        objective=objective,
        latent_shape=SHAPE,
    )
    torch.manual_seed(0)
    config = DiffusionTrainingConfig(
        **{"steps": 1, "batch_size": 4, "learning_rate": 1e-3, "ema_decay": 0.9, **training}
    )
    compute = Compute(torch.device("cpu"), torch.float32)
    return DiffusionTraining(model, config, SCALING, compute, lambda network, count: torch.zeros(count, 3, 4, 8, 8))


def moments(count: int, log_variance: float = -30.0) -> torch.Tensor:
    """Posteriors of mean 5, so that the denoiser sees 0 where the variance is next to nothing."""
    return torch.stack([torch.full((count, *SHAPE), 5.0), torch.full((count, *SHAPE), log_variance)], dim=1)


@pytest.mark.parametrize(("prediction", "answer"), [("eps", 0.7979), ("x0", 0.0), ("v", None)])
def test_the_target_is_made_of_scaled_latents(prediction, answer):
    """A new network answers 0, so the error is the target's size: of normal noise E|eps| = 0.798, of the latents 0."""
    module = make(ObjectiveConfig(prediction=prediction, loss="l1"))
    losses, values = module.losses(moments(256), torch.Generator().manual_seed(0))
    assert values["loss"] is losses[0]
    if answer is None:  # v = alpha eps, whose size is between the two
        assert 0.1 < losses[0].item() < 0.7
    else:
        assert losses[0].item() == pytest.approx(answer, abs=5e-3)


def test_the_posterior_is_sampled():
    """With unit variance the latents are normal, of deviation ``scale``; so is the x0 target."""
    module = make(ObjectiveConfig(prediction="x0", loss="l2"))
    losses, _ = module.losses(moments(256, log_variance=0.0), torch.Generator().manual_seed(0))
    assert losses[0].item() == pytest.approx(SCALING.scale**2, rel=0.03)


def test_losses_depend_on_the_generator_alone():
    module = make(ObjectiveConfig())
    first, again, other = (module.losses(moments(4), torch.Generator().manual_seed(s))[0][0].item() for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_scaling_has_an_inverse():
    latents = np.linspace(-3, 9, 7)
    np.testing.assert_allclose(SCALING.restore(SCALING.normalise(latents)), latents)


def test_heldout_error_covers_the_levels_and_is_repeatable():
    module = make(ObjectiveConfig(loss="l2"))
    batches = [moments(4), moments(2)]
    with torch.no_grad():
        quality = module.validate(batches)
        assert module.validate(batches) == quality
    assert list(quality) == ["loss", "loss 0-99"] + [f"loss {n}00-{n}99" for n in range(1, 10)]
    levels = [value for name, value in quality.items() if name != "loss"]
    assert quality["loss"] == pytest.approx(np.mean(levels))
    assert all(value == pytest.approx(1, abs=0.25) for value in levels)


def test_heldout_error_is_of_the_average():
    module = make(ObjectiveConfig())
    with torch.no_grad():
        before = module.validate([moments(2)])
        for parameter in module.unet.parameters():
            parameter.add_(1.0)
        assert module.validate([moments(2)]) == before
        module.step = 1
        module.after_step()
        assert module.validate([moments(2)]) != before


def test_training_lowers_the_error():
    """All latents are 0 here, so the noise can be read off the noisy latent."""
    module = make(ObjectiveConfig(loss="l2"), learning_rate=3e-3)
    optimizer = module.configure_optimizers()[0]
    seen = []
    for step in range(60):
        losses, _ = module.losses(moments(8), module.generator("training", step))
        optimizer.zero_grad()
        losses[0].backward()
        optimizer.step()
        seen.append(losses[0].item())
    assert np.mean(seen[-5:]) < 0.4 * np.mean(seen[:5])


def test_picture_is_an_image():
    picture = make(ObjectiveConfig()).picture(moments(3))
    assert picture.dtype == np.uint8
    assert picture.shape == (3 * 8, 4 * 8, 3)
