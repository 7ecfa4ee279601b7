"""Encode the clips of one shard: the posterior's moments of every window.

Moments and not draws: noise, shift and scale are applied when the cache is read.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from lvdm import compute
from lvdm.compute import Compute, count_flops
from lvdm.data.datasets import read_clips, to_float
from lvdm.data.shards import Shard, Window, windows
from lvdm.files import check_outputs, publish, write_json
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.weights import load_autoencoder
from lvdm.progress import Progress
from lvdm.read_ahead import one_behind, read_ahead
from lvdm.stages.config import EncodeConfig

_BATCHES_AHEAD = 2

_logger = logging.getLogger(__name__)


def run(config: EncodeConfig, *, shard: Path, autoencoder: Path, latents: Path) -> None:
    """Encode the windows of `shard` with the weights `autoencoder`.

    Writes `latents` (.npy): float16 (windows, 2, C, T/4, H/8, W/8), mean and log-variance; and as .json
    beside it the windows, {"windows": [[video id, first frame]]}. A shard without windows makes a cache of none.
    """
    check_outputs(latents, latents.with_suffix(".json"))
    machine = compute.setup(config.compute)
    network = load_autoencoder(autoencoder, machine.device)
    source = Shard(shard)
    found = windows(source, config.clip)
    sizes = (config.clip.length, *config.clip.size)
    reduced = [size // factor for size, factor in zip(sizes, network.config.downsample, strict=True)]
    shape = (len(found), 2, network.config.latent_channels, *reduced)
    parts = [found[start : start + config.batch_size] for start in range(0, len(found), config.batch_size)]
    encoded = one_behind(_encoded(source, parts, network, machine, config))
    clip = torch.empty(1, 3, *sizes, device=machine.device)
    terms = machine.share_of_peak(lambda: count_flops(network.encode, clip))
    progress = Progress(f"encoding {shard.stem}", len(found), "clip", terms=terms)
    record = latents.with_suffix(".json")
    # The record is published last, and an older one is removed before: where it exists, it describes the cache.
    with publish(record) as new_record, publish(latents) as temporary:
        with temporary.open("wb") as file, progress:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
            for moments in encoded:
                batch = _finite(moments().numpy(), shard)
                file.write(batch.tobytes())
                progress.advance(len(batch))
        write_json(new_record, {"windows": [list(window) for window in found]})
        record.unlink(missing_ok=True)
    _logger.info("%s: %d windows encoded", shard, len(found))


@torch.no_grad()
def _encoded(
    shard: Shard, parts: list[list[Window]], network: VideoAutoencoder, machine: Compute, config: EncodeConfig
) -> Iterator[Callable[[], torch.Tensor]]:
    """What gives the moments of each of ``parts``, once they are computed: float16 (windows, 2, C, T/4, H/8, W/8)."""
    encode = machine.compiled(network.encode)
    batches = read_ahead((_frames(shard, part, machine, config) for part in parts), _BATCHES_AHEAD)
    for part, batch in zip(parts, batches, strict=True):
        frames = batch.to(machine.device, non_blocking=True)
        with machine.autocast():
            posterior = encode(to_float(frames))
        yield machine.fetch(torch.stack([posterior.mean, posterior.logvar], dim=1)[: len(part)].half())


def _finite(moments: np.ndarray, shard: Path) -> np.ndarray:
    if not np.isfinite(moments).all():
        raise ValueError(
            f"{shard}: the autoencoder gives latents beyond the range of float16; train it with a lower "
            "learning rate, or with loss.kl_weight above 0"
        )
    return moments


def _frames(shard: Shard, found: list[Window], machine: Compute, config: EncodeConfig) -> torch.Tensor:
    """A whole batch of windows: uint8 (batch_size, T, H, W, 3)."""
    # The last batch is filled up: the arithmetic of a clip may depend on the size of its batch.
    filled = found + found[-1:] * (config.batch_size - len(found))
    return read_clips([(shard, window) for window in filled], config.clip, pinned=machine.device.type == "cuda")
