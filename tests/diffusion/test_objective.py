import pytest
import torch

from lvdm.diffusion.config import ScheduleConfig
from lvdm.diffusion.denoiser import Denoiser
from lvdm.diffusion.objective import diffuse, error, predict, target, weight
from lvdm.diffusion.schedule import make_schedule


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("parameter", ["eps", "x0", "v"])
def test_target_and_prediction_are_inverse_at_every_level(parameter, kind, zero_terminal_snr):
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 1000, 4, 2, 2, 2, generator=generator, dtype=torch.float64)
    schedule = make_schedule(ScheduleConfig(kind=kind, zero_terminal_snr=zero_terminal_snr))
    alpha, sigma = schedule.rates(torch.arange(1000), like=x0)
    x = diffuse(x0, eps, alpha, sigma)
    guess = predict(parameter, target(parameter, x0, eps, alpha, sigma), x, alpha, sigma)
    # What eps says about the latent goes with alpha, down to 5e-5 of the cosine schedule and 0 of a rescaled one.
    precise = alpha.flatten() > (1e-3 if parameter == "eps" else -1)
    assert precise.sum() >= 995
    torch.testing.assert_close(guess.x0[precise], x0[precise], rtol=0, atol=1e-12)
    torch.testing.assert_close(guess.eps, eps, rtol=0, atol=1e-12)


def test_errors_are_means_over_each_clip():
    output, wanted = torch.zeros(2, 1, 2), torch.tensor([[[1.0, -3.0]], [[2.0, 2.0]]])
    assert error("l1", output, wanted).tolist() == [2.0, 2.0]
    assert error("l2", output, wanted).tolist() == [5.0, 4.0]


def test_denoiser_tells_the_network_the_level_and_keeps_the_precision():
    schedule = make_schedule(ScheduleConfig())
    seen = []

    def network(x, t):
        seen.append(t.tolist())
        return torch.ones_like(x, dtype=torch.bfloat16)

    x = torch.full((3, 1), 2.0, dtype=torch.float64)
    guess = Denoiser(network, schedule, "eps")(x, 250)
    alpha, sigma = schedule.level(250)
    assert seen == [[250, 250, 250]]
    assert guess.eps.dtype == torch.float64
    torch.testing.assert_close(alpha * guess.x0 + sigma * guess.eps, x)


@pytest.mark.parametrize("kind", ["l1", "l2"])
@pytest.mark.parametrize("parameter", ["eps", "x0", "v"])
def test_without_gamma_every_level_counts_alike(parameter, kind):
    output, wanted = torch.randn(2, 8, 4, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    alpha, sigma = make_schedule(ScheduleConfig()).rates(torch.arange(0, 1000, 125), like=output)
    weights = weight(parameter, alpha, sigma, gamma=None)
    assert torch.equal(error(kind, output, wanted, weights), error(kind, output, wanted))


def test_min_snr_weights_follow_the_paper():
    """Hang et al. 2023: min(SNR, gamma) for x0, divided by SNR for eps and by SNR + 1 for v."""
    schedule = make_schedule(ScheduleConfig())
    alpha, sigma = schedule.rates(torch.arange(1000), like=torch.zeros(1000, 1, dtype=torch.float64))
    for level in (0, 100, 300, 600, 999):
        kept = schedule.alphas_cumprod[level].item()
        snr = kept / (1 - kept)
        expected = {"x0": min(snr, 5.0), "eps": min(snr, 5.0) / snr, "v": min(snr, 5.0) / (snr + 1)}
        for parameter, value in expected.items():
            assert weight(parameter, alpha, sigma, 5.0)[level].item() == pytest.approx(value, rel=1e-9)


def test_min_snr_weighs_one_guess_alike_whatever_the_network_says():
    generator = torch.Generator().manual_seed(0)
    x0, eps, mistake = torch.randn(3, 10, 4, 2, 2, 2, generator=generator, dtype=torch.float64)
    alpha, sigma = make_schedule(ScheduleConfig()).rates(torch.arange(0, 1000, 100), like=x0)
    guessed_eps = eps - alpha / sigma * mistake
    errors = {
        parameter: error(
            "l2",
            target(parameter, x0 + mistake, guessed_eps, alpha, sigma),
            target(parameter, x0, eps, alpha, sigma),
            weight(parameter, alpha, sigma, 5.0),
        )
        for parameter in ("eps", "x0", "v")
    }
    torch.testing.assert_close(errors["eps"], errors["x0"])
    torch.testing.assert_close(errors["v"], errors["x0"])


@pytest.mark.parametrize(("parameter", "expected"), [("eps", 1.0), ("x0", 0.0), ("v", 0.0)])
def test_min_snr_weights_without_signal(parameter, expected):
    assert weight(parameter, torch.zeros(1), torch.ones(1), 5.0).item() == expected


def test_weights_of_frames_multiply_their_differences():
    output, wanted = torch.tensor([1.0, 3.0]).reshape(1, 1, 2, 1, 1), torch.zeros(1, 1, 2, 1, 1)
    weights = torch.tensor([2.0, 0.5]).reshape(1, 1, 2, 1, 1)
    assert error("l1", output, wanted, weights).tolist() == [(2.0 * 1 + 0.5 * 3) / 2]
    assert error("l2", output, wanted, weights).tolist() == [(2.0 * 1 + 0.5 * 9) / 2]
