"""What each benchmark that runs a network is told: what to compute, where, and where the result goes."""

import argparse
from pathlib import Path
from typing import Any

from lvdm.config import load, merge, parse, read_mapping
from lvdm.stages.pipeline import PipelineConfig

_FOLDER = Path(__file__).parent
_PRESET = _FOLDER.parent / "config" / "presets" / "col.yaml"
_TINY = _FOLDER / "tiny.yaml"


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all of them have."""
    parser.add_argument("--config", type=Path, help="configuration; default: config/presets/col.yaml")
    parser.add_argument("--tiny", action="store_true", help="networks of benchmarks/tiny.yaml, few and small batches")
    parser.add_argument("--resolution", type=int, help="height and width of a frame; default: as configured")
    parser.add_argument("--length", type=int, help="frames in a clip; default: as configured")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument(
        "--precision", default="auto", choices=["auto", "float32", "bfloat16"], help="not the baseline's"
    )
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--folder", type=Path, help="where temporary files are made; default: the system's")
    parser.add_argument("--out", type=Path, help="JSON file; default: the JSON goes to the terminal")


def config_path(options: argparse.Namespace) -> Path:
    """The configuration that is measured."""
    return options.config or (_TINY if options.tiny else _PRESET)


def load_pipeline(options: argparse.Namespace) -> PipelineConfig:
    """The configuration, its clips of ``--resolution`` and ``--length``.

    Raises ``ConfigError`` where the networks cannot have such clips.
    """
    path = config_path(options)
    pipeline = load(PipelineConfig, path)
    data: dict[str, Any] = {}
    diffusion: dict[str, Any] = {}
    if options.resolution is not None:
        data["resolution"] = options.resolution
    if options.length is not None:
        data["length"] = options.length
        # The UNet sees the latent frames of a whole clip.
        latent_frames = options.length // pipeline.autoencoder.model.downsample[0] // pipeline.diffusion.latent_stride
        diffusion["model"] = {"temporal_length": latent_frames}
    changed = merge(read_mapping(path), {"data": data, "diffusion": diffusion})
    return parse(PipelineConfig, changed, source=f"{path}, its clips of another size")
