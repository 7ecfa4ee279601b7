"""Export networks to a checkpoint that the original LVDM code reads."""

from pathlib import Path

import torch

from lvdm.files import publish
from lvdm.models.weights import load_autoencoder
from lvdm.original.checkpoint import export
from lvdm.training.generate import load_diffusion


def run(*, autoencoder: Path | None = None, diffusion: Path | None = None, checkpoint: Path) -> None:
    """Write the weights `autoencoder` or `diffusion`, or both (.safetensors), as `checkpoint` (.ckpt).

    An autoencoder alone becomes a checkpoint of the original's autoencoder; with a diffusion model it becomes the
    first stage of that.
    """
    if autoencoder is None and diffusion is None:
        raise ValueError("there is nothing to export; give --autoencoder, --diffusion or both")
    networks = (
        None if autoencoder is None else load_autoencoder(autoencoder),
        None if diffusion is None else load_diffusion(diffusion, torch.device("cpu"))[0],
    )
    with publish(checkpoint) as temporary:
        torch.save({"state_dict": export(*networks)}, temporary)
