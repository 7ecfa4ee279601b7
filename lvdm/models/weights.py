"""Weights as safetensors, beside a ``.json`` with the configuration that made them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lvdm.config import parse
from lvdm.files import publish, read_json, write_json
from lvdm.models.config import AutoencoderConfig, FrameAutoencoderConfig
from lvdm.models.factory import Autoencoder, make_autoencoder

_SUFFIX = ".safetensors"


def save_model(path: str | Path, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Publish ``state`` at ``path`` (``.safetensors``) and ``config`` (JSON values) at the ``.json`` beside it.

    The ``.json`` is published last: where it exists, the weights are whole. The weights keep their types.
    """
    path = Path(path)
    record = path.with_suffix(".json")
    record.unlink(missing_ok=True)
    with publish(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, temporary)
        # safetensors lets the owner alone read its files; on a shared file system others do, as far as the umask goes.
        os.umask(mask := os.umask(0))
        temporary.chmod(0o666 & ~mask)
    write_json(record, dict(config))


def load_model(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights in ``path`` and the configuration beside it.

    Raises ``FileNotFoundError`` when one is missing and ``ValueError`` when one cannot be read.
    """
    path = Path(path)
    record = record_of(path)
    config = read_json(record)
    if not isinstance(config, dict):
        raise ValueError(
            f"{record} holds a {type(config).__name__}, but the configuration of weights is a mapping; "
            "delete it and train again"
        )
    try:
        return load_file(path), config
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error}); delete it and train again") from None


def record_of(weights: Path) -> Path:
    """The ``.json`` beside ``weights``; an error that names the weights when one of the two is missing."""
    record = weights.with_suffix(".json")
    if weights.suffix != _SUFFIX:
        raise ValueError(f"{weights} are no weights; give the .safetensors file with its .json beside it")
    for file in (weights, record):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is missing; weights are a .safetensors file with a .json beside it, and {weights} was given"
            )
    return record


def fill(network: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load ``state`` into ``network``. Raises ``ValueError`` that names ``source`` when it does not fit."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        beside = Path(source).with_suffix(".json").name
        raise ValueError(f"{source}: the weights do not fit the configuration beside them, {beside}: {error}") from None


def load_autoencoder(path: str | Path, device: torch.device | str = "cpu") -> Autoencoder:
    """The autoencoder saved at ``path``, on ``device``, in evaluation mode and without gradients."""
    state, record = load_model(path)
    kind = FrameAutoencoderConfig if record.get("kind") == "frames" else AutoencoderConfig
    autoencoder = make_autoencoder(parse(kind, record, source=f"{Path(path).with_suffix('.json')} (beside {path})"))
    fill(autoencoder, state, path)
    return autoencoder.eval().requires_grad_(False).to(device)
