"""Which frames of a training clip are given."""

import torch
from einops import rearrange
from torch import Tensor

from lvdm.diffusion.config import FrameConditionConfig, Task


def draw_masks(config: FrameConditionConfig, task: Task, clips: int, length: int, generator: torch.Generator) -> Tensor:
    """Random masks, float ``(B, 1, T, 1, 1)`` on the generator's device, 1 where a frame is given.

    A clip has given frames with probability ``config.share``: for prediction its first ones, as many as one of
    ``config.given``; for interpolation the first and the last. All others, and all of an unconditional model's, have
    none. ``B`` is ``clips`` and ``T`` is ``length``, in latent frames. Raises ``ValueError`` when that leaves no
    frame to generate.
    """
    device = generator.device
    # Drawn for every task, so that the draws that follow in a step do not depend on it.
    chosen = torch.rand(clips, 1, generator=generator, device=device) < config.share
    index = torch.randint(len(config.given), (clips, 1), generator=generator, device=device)
    frames = torch.arange(length, device=device)
    match task:
        case "unconditional":
            given = torch.zeros(1, length, dtype=torch.bool, device=device)
        case "prediction":
            if max(config.given) >= length:
                raise ValueError(
                    f"condition.given asks for {max(config.given)} given frames, but a clip has {length} "
                    "latent frames; give fewer, so that one is left to predict"
                )
            # Not a table on the device: to copy one there waits for all that the device was given before.
            given = frames < sum((index == number) * frames_given for number, frames_given in enumerate(config.given))
        case "interpolation":
            if length < 3:
                raise ValueError(
                    f"interpolation needs a frame between the first and the last, but a clip has {length} latent "
                    "frames; make clips longer or their stride smaller"
                )
            given = ((frames == 0) | (frames == length - 1))[None]
    return rearrange((chosen & given).float(), "b t -> b 1 t 1 1")
