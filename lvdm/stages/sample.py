"""Draw clips from a trained model."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from lvdm import compute
from lvdm.compute import Compute, count_flops
from lvdm.data.datasets import to_uint8
from lvdm.files import check_outputs, publish
from lvdm.models.weights import load_autoencoder
from lvdm.progress import Progress
from lvdm.read_ahead import one_behind
from lvdm.stages.config import SampleConfig
from lvdm.training import seeds
from lvdm.training.generate import ClipGenerator, load_diffusion

_DECODED_AT_A_TIME = 32

_logger = logging.getLogger(__name__)


def run(config: SampleConfig, *, autoencoder: Path, diffusion: Path, first: int, count: int, clips: Path) -> None:
    """Draw videos `first` to `first + count - 1` of a run.

    Reads the weights `autoencoder` and `diffusion`. Writes `clips` (.npy): uint8 (count, T, H, W, 3). Video n
    depends on the configuration and n alone: it has a generator of its own and always the same row of a batch, and
    every batch has `batch_size` rows. So a chunk that does not begin and end at multiples of `batch_size` computes
    rows that it throws away.
    """
    if first < 0 or count < 1:
        raise ValueError(f"first is {first} and count {count}; they must be at least 0 and 1")
    check_outputs(clips)
    machine = compute.setup(config.compute)
    decoder = load_autoencoder(autoencoder, machine.device)
    unet, model = load_diffusion(diffusion, machine.device)
    machine.place(unet)
    channels, *cells = model.latent_shape
    if channels != decoder.config.latent_channels:
        raise ValueError(
            f"{diffusion} makes latents of {channels} channels, but {autoencoder} reads "
            f"{decoder.config.latent_channels}; take the autoencoder that its training latents were encoded with"
        )
    if model.latent_stride > 1:
        raise ValueError(
            f"{diffusion} makes key frames, every {model.latent_stride}th latent frame of a video, which are no clip; "
            "interpolate between them (lvdm.longvideo)"
        )
    decode = machine.compiled(decoder.decode)
    generate = ClipGenerator(machine.replayed(unet.forward), model, lambda latents: _in_parts(decode, latents))
    sizes = [cell * factor for cell, factor in zip(cells, decoder.config.downsample, strict=True)]
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *sizes, 3)}
    latent, level = torch.empty(1, *model.latent_shape, device=machine.device), torch.zeros(1, device=machine.device)
    terms = machine.share_of_peak(
        lambda: config.sampler.evaluations * count_flops(unet, latent, level) + count_flops(decoder.decode, latent)
    )
    what = f"sampling ({config.sampler.method}, {config.sampler.steps} steps)"
    progress = Progress(what, count, "clip", terms=terms)
    with publish(clips) as temporary, temporary.open("wb") as file, progress:
        # Not memory-mapped: on a full disk that ends in a bus error, and this in an OSError.
        np.lib.format.write_array_header_1_0(file, header)
        for drawn in one_behind(_drawn(config, generate, machine, first, count)):
            videos = drawn()
            file.write(videos.numpy().tobytes())
            progress.advance(len(videos))
    _logger.info("%s: videos %d to %d of %s", clips, first, first + count - 1, config.sampler.method)


def _in_parts(decode: Callable[[torch.Tensor], torch.Tensor], latents: torch.Tensor) -> torch.Tensor:
    """``decode`` of a few clips at a time: it takes far more memory than the network, and is as fast with few."""
    parts = latents.chunk(-(-len(latents) // _DECODED_AT_A_TIME))
    return torch.cat([decode(part) for part in parts])


def rows(first: int, count: int, batch_size: int) -> Iterator[list[int | None]]:
    """The videos in the rows of each batch, None where a row is not wanted. Video n is in row ``n % batch_size``."""
    end = first + count
    for start in range(first - first % batch_size, end, batch_size):
        yield [n if first <= n < end else None for n in range(start, start + batch_size)]


def _drawn(
    config: SampleConfig, generate: ClipGenerator, machine: Compute, first: int, count: int
) -> Iterator[Callable[[], torch.Tensor]]:
    """What gives the wanted videos of each batch, once they are drawn: uint8 (videos, T, H, W, 3)."""
    cpu = torch.device("cpu")
    for batch in rows(first, count, config.batch_size):
        generators = [None if n is None else seeds.generator(cpu, config.seed, "video", n) for n in batch]
        with machine.autocast():
            clips = generate(config.sampler, generators, machine.device)
        wanted = [row for row, n in enumerate(batch) if n is not None]
        # A slice, for they follow one another: a list would be copied to the device, which waits until it is idle.
        yield machine.fetch(to_uint8(clips[wanted[0] : wanted[-1] + 1]))
