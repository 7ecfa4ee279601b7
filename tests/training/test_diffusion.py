"""The diffusion model's training, on latents whose best denoiser is known."""

import numpy as np
import pytest
import torch

from lvdm.compute import Compute
from lvdm.diffusion.config import FrameConditionConfig, ObjectiveConfig, ScheduleConfig, Task
from lvdm.models.config import UNetConfig
from lvdm.training.config import DiffusionModelConfig, DiffusionTrainingConfig, LatentScaling
from lvdm.training.diffusion import DiffusionTraining

SHAPE = (4, 2, 4, 4)
SCALING = LatentScaling(shift=-5.0, scale=0.5, clips=2)


def make(objective: ObjectiveConfig, task: Task = "unconditional", share: float = 1.0, **training) -> DiffusionTraining:
    network = {"noise_levels": 0 if task == "unconditional" else 251}
    model = DiffusionModelConfig(
        model=UNetConfig(
            model_channels=32,
            channel_mult=(1,),
            residual_blocks=1,
            attention_downsampling=(),
            temporal_length=2,
            **network,
        ),
        schedule=ScheduleConfig(),
        objective=objective,
        task=task,
        condition=FrameConditionConfig(share=share),
        latent_shape=SHAPE,
        scaling=SCALING,
    )
    torch.manual_seed(0)
    config = DiffusionTrainingConfig(
        **{"steps": 1, "batch_size": 4, "learning_rate": 1e-3, "ema_decay": 0.9, **training}
    )
    compute = Compute(torch.device("cpu"), torch.float32)
    return DiffusionTraining(model, config, compute, lambda network, latents: torch.zeros(len(latents), 3, 4, 8, 8))


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


class Recorder(torch.nn.Module):
    """A network that answers 0 and keeps what it was asked."""

    def forward(self, x: torch.Tensor, t: torch.Tensor, **told: torch.Tensor) -> torch.Tensor:
        self.x, self.t, self.told = x, t, told
        return torch.zeros_like(x)


def test_given_frames_are_at_a_level_of_their_own_which_the_network_is_told():
    """The latents are 0 here, so a frame's deviation is the noise of its level."""
    module = make(ObjectiveConfig(), task="prediction", share=0.5)
    module.predict = recorder = Recorder()
    module.losses(moments(512), torch.Generator().manual_seed(0))
    mask, level = recorder.told["mask"], recorder.told["noise_level"]
    given = mask[:, 0, 0, 0, 0] == 1
    assert 0.4 < given.float().mean() < 0.6
    assert not mask[:, :, 1].any()
    assert int(level.min()) >= 0
    assert 200 < int(level.max()) < 250
    assert int(recorder.t.max()) > 900
    sigma = (1 - module.schedule.alphas_cumprod).sqrt()
    levels = torch.stack([torch.where(given, level, recorder.t), recorder.t], dim=1)
    ratio = recorder.x.double().square().mean(dim=(1, 3, 4)).sqrt() / sigma[levels]
    assert ratio.mean().item() == pytest.approx(1, abs=0.01)
    assert ratio.std().item() < 0.15  # of 64 values; a wrong level is off by a factor


def test_low_noise_counts_less_with_min_snr():
    """A new network answers 0 for eps, so each clip's error is its weight times E|eps|."""
    plain, weighted = (make(ObjectiveConfig(min_snr_gamma=gamma)) for gamma in (None, 5.0))
    snr = plain.schedule.alphas_cumprod / (1 - plain.schedule.alphas_cumprod)
    mean_weight = (5.0 / snr).clamp(max=1).mean().item()
    errors = [
        module.losses(moments(2048), torch.Generator().manual_seed(0))[0][0].item() for module in (plain, weighted)
    ]
    assert errors[1] / errors[0] == pytest.approx(mean_weight, rel=0.05)


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
