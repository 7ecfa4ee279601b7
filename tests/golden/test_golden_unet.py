"""The UNets compute what the originals compute (numbers made with the original modules)."""

from types import SimpleNamespace

import pytest
import torch

from lvdm.models.unet import UNet
from lvdm.original import unet as names


@pytest.fixture(scope="module")
def tiny(tiny_unet) -> dict[str, SimpleNamespace]:
    """Configuration and seed of each small model that there are golden numbers of."""
    text = {"temporal_length": 16, "scale_shift_norm": False, "context_channels": 24}
    return {
        "unet_tiny": SimpleNamespace(config=tiny_unet, seed=2),
        "unet_pred_tiny": SimpleNamespace(config=tiny_unet.replace(noise_levels=251), seed=3),
        "unet_text_tiny": SimpleNamespace(config=tiny_unet.replace(**text), seed=4),
    }


@pytest.fixture(scope="module")
def network(tiny, original):
    def load(model: str) -> UNet:
        unet = UNet(tiny[model].config).eval()
        unet.load_state_dict(names.from_original(original(model, tiny[model].seed), unet))
        return unet

    return load


@torch.no_grad()
def test_prediction(network, golden, relative_error, form):
    output = form(network("unet_tiny").forward)(golden["unet_x"], golden["unet_t"])
    assert relative_error(output, golden["unet_out"]) < form.tolerance


@torch.no_grad()
def test_prediction_with_given_frames(network, golden, relative_error, form):
    latents, mask = golden["pred_x"].split([4, 1], dim=1)
    told = {"mask": mask, "noise_level": golden["pred_noise_level"]}
    output = form(network("unet_pred_tiny").forward)(latents, golden["pred_t"], **told)
    assert relative_error(output, golden["pred_out"]) < form.tolerance


@torch.no_grad()
def test_prediction_with_text(network, golden, relative_error, form):
    output = form(network("unet_text_tiny").forward)(golden["text_x"], golden["text_t"], context=golden["text_context"])
    assert relative_error(output, golden["text_out"]) < form.tolerance


@pytest.mark.parametrize("model", ["unet_tiny", "unet_pred_tiny", "unet_text_tiny"])
def test_export_gives_back_what_was_imported(network, tiny, original, model):
    state = original(model, tiny[model].seed)
    exported = names.to_original(network(model).state_dict())
    assert exported.keys() == state.keys()
    assert all(torch.equal(exported[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("model", ["unet_short", "unet_pred", "unet_text2video"])
def test_names_and_shapes_of_the_published_configurations(published_unets, shapes, model):
    with torch.device("meta"):
        network = UNet(published_unets[model])
    assert names.expected(network) == shapes[model]


def test_another_configuration_is_refused_with_the_missing_names(tiny_unet, original):
    with torch.device("meta"):
        network = UNet(tiny_unet.replace(residual_blocks=2))
    with pytest.raises(KeyError, match=r"lacks .*input_blocks\.2\.0\.in_layers"):
        names.from_original(original("unet_tiny", 0), network)


@pytest.mark.parametrize("name", ["encoder.0.residual.conv_middle.weight", "encoder.0.attention.mixer.weight", "a.b"])
def test_unknown_tensors_have_no_original_name(name):
    with pytest.raises(KeyError):
        names.to_original({name: torch.zeros(1)})
