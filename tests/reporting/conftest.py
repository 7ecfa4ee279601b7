"""The files of a finished run, small but of every kind, for the page to be made of."""

import json
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lvdm.reporting.config import DatasetFiles, ModelFiles, ReportConfig
from lvdm.reporting.tables import join, published_rows
from lvdm.stages.config import ReportStageConfig

PUBLISHED = Path(__file__).parents[2] / "config" / "published" / "endora_colonoscopic.csv"
DATASETS = ("colonoscopic", "kvasir_capsule")
SAMPLERS = {"ddim-50": ("ddim", 50), "dpm-20": ("dpm-solver++", 20)}
GENERATORS = (*SAMPLERS, "other-gan")
PAIRS = 3
# Of the stages in their order, which is not that of the alphabet.
STAGES = ("extract", "train-autoencoder", "sample.dpm-20", "sample.ddim-50", "preview", "features.lossless@i3d@real")


@pytest.fixture(scope="session")
def report_config(tmp_path_factory) -> ReportStageConfig:
    """The configuration of stage report for two data sets, and all the files that it names."""
    folder = tmp_path_factory.mktemp("run")
    datasets = tuple(_dataset(folder / name, name, seed) for seed, name in enumerate(DATASETS))
    return ReportStageConfig(datasets=datasets, report=ReportConfig(videos=4))


def _dataset(folder: Path, name: str, seed: int) -> DatasetFiles:
    generator = np.random.default_rng(seed)
    folder.mkdir()
    for kind, count in (*((generator, 4) for generator in GENERATORS), ("real", 5)):
        _previews(folder / "previews" / kind, count)
    for picture, frames in (("reconstructions", 8), ("samples", 4)):
        strips = np.kron(generator.integers(0, 256, (4, frames, 3)), np.ones((64, 64, 1))).astype(np.uint8)
        Image.fromarray(strips).save(folder / f"{picture}.png")
    steps = np.arange(50, 5001, 50)
    curve = {"step": steps, "loss": np.exp(-steps / 900) + 0.1 + generator.normal(0, 0.02, len(steps))}
    pd.DataFrame({**curve, "kl": 1e6 / steps, "perceptual": 0.0}).to_csv(folder / "autoencoder.csv", index=False)
    pd.DataFrame({**curve, "learning_rate": 6e-5}).to_csv(folder / "diffusion.csv", index=False)
    _quality(folder / "autoencoder_quality.csv", {"psnr": 28.0, "ssim": 0.85, "l1": 0.05})
    levels = {f"loss {low}-{low + 199}": 0.4 - low / 4000 for low in range(0, 1000, 200)}
    _quality(folder / "diffusion_quality.csv", {"loss": 0.2, **levels})
    _table(folder / "table.csv", name)
    (folder / "table.tex").write_text("\\begin{table}\n\\end{table}\n")
    (folder / "statistics.json").write_text(json.dumps({"shift": 0.1, "scale": 0.9, "clips": 1234}))
    return DatasetFiles(
        name=name,
        manifest=_manifest(folder),
        records=tuple(_record(folder, f"patient-{number:02}", number) for number in range(6)),
        table=folder / "table.csv",
        latex=folder / "table.tex",
        autoencoder_curve=folder / "autoencoder.csv",
        autoencoder_quality=folder / "autoencoder_quality.csv",
        reconstructions=folder / "reconstructions.png",
        diffusion_curve=folder / "diffusion.csv",
        diffusion_quality=folder / "diffusion_quality.csv",
        samples=folder / "samples.png",
        statistics=folder / "statistics.json",
        real_previews=folder / "previews" / "real",
        generated_previews=tuple(folder / "previews" / name for name in GENERATORS),
        models=tuple(_models(folder, generator)),
        configs=tuple(_config(folder, stage) for stage in STAGES),
        cost=_cost(folder),
    )


def _cost(folder: Path) -> Path:
    """Of the first data set as SLURM's accounting tells it, of the second by benchmark files."""
    (folder / "cost.csv").write_text(
        """dataset,stage,jobs,hours,queue_hours,cpu_hours,gpu_hours,memory_mb,source
colonoscopic,train-diffusion,3,131.250000,7.500000,1050.000000,262.500000,41250.500000,sacct
colonoscopic,extract,12,0.750000,0.002500,6.000000,0.000000,812.250000,sacct
colonoscopic,score,2,0.005000,,0.004000,,95.400000,benchmark
kvasir_capsule,train-diffusion,1,2.125000,,16.500000,,1820.000000,benchmark
kvasir_capsule,extract,120,0.030000,,,,,benchmark
""",
        encoding="utf-8",
    )
    return folder / "cost.csv"


def _previews(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        source = f"testsrc2=size=128x128:rate=8:duration=2,hue=h={40 * number}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source]
        subprocess.run([*command, "-pix_fmt", "yuv420p", str(folder / f"{number:05}.mp4")], check=True)


def _quality(path: Path, metrics: dict[str, float]) -> None:
    rows = [
        {"step": step, "split": "heldout", "clips": 40, "metric": metric, "value": value * (1 - 500 / step)}
        for step in (1000, 2000, 3000, 4000, 5000)
        for metric, value in metrics.items()
    ]
    pd.DataFrame(rows).to_csv(path, index=False)


def _table(path: Path, dataset: str) -> None:
    def rows(model: str, sampler: str, scale: float, note: str):
        common = {"dataset": dataset, "model": model, "sampler": sampler, "n_real": 200, "n_fake": 64, "seed": 0}
        for detector, protocol in (("i3d", "lossless"), ("random3d", "lossless"), ("i3d", "stylegan_v")):
            own = {**common, "detector": detector, "protocol": protocol, "note": note}
            frechet, kernel = ("fvd", "kvd") if detector == "i3d" else ("frechet_distance", "kernel_distance")
            value = 150.0 * scale
            yield {**own, "metric": frechet, "value": value, "low": 0.9 * value, "high": 1.15 * value}
            yield {**own, "metric": f"{frechet}_infinity", "value": 0.8 * value}
            yield {**own, "metric": kernel, "value": 2e-4 * scale, "std": 1e-5}
            yield {**own, "metric": "precision", "value": 0.5 / (1 + scale), "low": 0.1, "high": 0.4}

    small = "64 clips for 400 feature values: biased upwards, compare only at equal numbers"
    scores = [*rows("lvdm", "ddim-50", 1, small), *rows("lvdm", "dpm-20", 1.2, small), *rows("other-gan", "", 1.1, "")]
    scores += [*rows("real", "", 0.3, "halves of 3 and 3 videos, none in both"), *rows("train", "", 0.4, "")]
    scores += rows("noise", "", 60, "")
    scores += [
        {**scores[0], "metric": f"fvd@{first}", "value": 150.0 + first, "low": None, "high": None}
        for first in (0, 16, 32)
    ]
    for metric, value in (("psnr", 28.31), ("ssim", 0.861), ("lpips", 0.12)):
        own = {"dataset": dataset, "model": "autoencoder", "protocol": "reconstruction of held-out clips"}
        scores.append({**own, "metric": metric, "value": value, "n_real": 40, "n_fake": 40, "note": "step 5000"})
    parts = [pd.DataFrame(scores).astype(object)]
    if dataset == DATASETS[0]:
        parts.append(published_rows(PUBLISHED, dataset))
    join(parts).to_csv(path, index=False)


def _models(folder: Path, generator: np.random.Generator):
    """Curves of all models; distances and pairs of the generators, where a detector sees clips."""
    for protocol, detector in (("lossless", "i3d"), ("lossless", "random3d"), ("stylegan_v", "i3d")):
        for number, model in enumerate((*GENERATORS, "real", "noise")):
            own = folder / "scores" / protocol / detector / model
            own.mkdir(parents=True)
            n = np.array([8, 16, 24, 32, 40, 48, 56, 64])
            fit = 100 + 20 * number + 3000 / n
            curve = {"n": n, "value": fit + generator.normal(0, 8, len(n)), "fit": fit, "floor": 2500 / n}
            pd.DataFrame(curve).to_csv(own / "curve.csv", index=False)
            files = ModelFiles(protocol=protocol, detector=detector, model=model, curve=own / "curve.csv")
            if model in GENERATORS and protocol == "lossless" and detector == "i3d":
                files = files.replace(distances=str(_distances(own, generator)), pairs=str(_pairs(own, generator)))
            yield files


def _distances(folder: Path, generator: np.random.Generator) -> Path:
    rows = [(str(clip), "patient-01:16", 8 + generator.gamma(4), "generated") for clip in range(64)]
    rows += [(f"patient-05:{clip}", "patient-01:16", 9 + generator.gamma(4), "heldout") for clip in range(40)]
    pd.DataFrame(rows, columns=["clip", "nearest", "distance", "kind"]).to_csv(folder / "distances.csv", index=False)
    return folder / "distances.csv"


def _pairs(folder: Path, generator: np.random.Generator) -> Path:
    (folder / "pairs").mkdir()
    for rank in range(PAIRS):
        colours = generator.integers(0, 256, (16, 4, 4, 3), dtype=np.uint8)
        for kind, clip in (("generated", colours), ("training", colours // 2 + 60)):
            np.save(folder / "pairs" / f"{rank:02}-{kind}.npy", clip.repeat(16, axis=1).repeat(16, axis=2))
    return folder / "pairs"


def _manifest(folder: Path) -> Path:
    rows = [
        {"id": f"patient-{number:02}", "usable": True, "reason": "", "width": 1920, "height": 1080}
        for number in range(6)
    ]
    rows.append({"id": "notes", "usable": False, "reason": "not a video", "width": 0, "height": 0})
    path = folder / "manifest.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def _record(folder: Path, id: str, number: int) -> Path:
    record = {"id": id, "usable": number != 5, "reason": "", "source": f"{id}.mp4", "sha256": "0" * 64}
    if record["usable"]:
        crop = {"box": [420, 0, 1080, 1080], "mode": "auto", "note": "flat dark margin with a sharp edge"}
        size = {"resolution": 128, "upscaled": False}
        record |= {"crop": crop, "frames": 400 + number, "fps": 25.0, "resampled": True, **size}
    else:
        record["reason"] = "has 9 frames after extraction, but a clip takes 16"
    path = folder / f"{id}.json"
    path.write_text(json.dumps(record))
    return path


def _config(folder: Path, stage: str) -> Path:
    path = folder / f"{stage}.json"
    settings = {"clip": {"length": 16, "resolution": 128}, "training": {"steps": 5000, "learning_rate": 6e-05}}
    command, _, name = stage.partition(".")
    if command == "sample":
        method, steps = SAMPLERS[name]
        settings = {"sampler": {"method": method, "steps": steps}}
    path.write_text(json.dumps({"stage": stage, "code": "0123456789abcdef", "config": settings}))
    return path
