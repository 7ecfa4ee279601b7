"""Every file option of every stage, given every kind of wrong file: a message that names it, and nothing half-written.

``COMMANDS`` is a tiny run of all stages, in the order of the pipeline. The options that take files are found in it:
those whose value lies in ``@in`` are read, those in ``@out`` are written. A stage or an option that is not in it fails
``test_every_stage_and_every_path_is_tried``.
"""

import hashlib
import inspect
import io
import json
import os
import shlex
import shutil
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock
from safetensors.torch import save_file

from lvdm import __main__ as command

COMMANDS = """
make-demo-videos --config @in/config/make-demo-videos.yaml --folder @out/videos
fetch --config @in/config/fetch.yaml --file @out/fetched.pt
inspect --video @in/videos/patient-01.mp4 --inspection @out/inspections/patient-01.json
inspect --video @in/videos/patient-02.mp4 --inspection @out/inspections/patient-02.json
crop --config @in/config/crop.yaml --inspections @in/inspections/patient-01.json @in/inspections/patient-02.json
      --crop @out/crops/both.json
probe --config @in/config/probe.yaml --videos @in/videos/patient-01.mp4 @in/videos/patient-02.mp4
      --manifest @out/manifest.csv
probe --config @in/config/probe.yaml --listing @in/listing.csv --inspections @in/inspections --crops @in/crops
      --manifest @out/listed.csv
probe --config @in/config/probe.yaml --frames @in/pictures --manifest @out/pictures.csv
extract --config @in/config/extract.yaml --video @in/videos/patient-01.mp4 --group both
        --inspection @in/inspections/patient-01.json --crop @in/crops/both.json
        --frames @out/frames/patient-01.mkv --record @out/frames/patient-01.json
extract --config @in/config/extract.yaml --video @in/videos/patient-02.mp4 --group both
        --inspection @in/inspections/patient-02.json --crop @in/crops/both.json
        --frames @out/frames/patient-02.mkv --record @out/frames/patient-02.json
export-frames --frames @in/frames/patient-01.mkv --folder @out/png
shard --config @in/config/shard.yaml --frames @in/frames/patient-01.mkv --shard @out/shards/train-000.npy
shard --config @in/config/shard.yaml --frames @in/frames/patient-02.mkv --shard @out/shards/heldout-000.npy
train-autoencoder --config @in/config/train-autoencoder.yaml --train @in/shards/train-000.npy
      --heldout @in/shards/heldout-000.npy --run-folder @out/autoencoder/run
      --weights @out/autoencoder/weights.safetensors --curve @out/autoencoder/curve.csv
      --quality @out/autoencoder/quality.csv --picture @out/autoencoder/reconstructions.png
train-autoencoder --config @in/config/train-autoencoder-imported.yaml --train @in/shards/train-000.npy
      --heldout @in/shards/heldout-000.npy --initial @in/autoencoder/weights.safetensors
      --perceptual @in/perceptual.pt --run-folder @out/imported/run --weights @out/imported/weights.safetensors
      --curve @out/imported/curve.csv --quality @out/imported/quality.csv --picture @out/imported/reconstructions.png
encode --config @in/config/encode.yaml --shard @in/shards/train-000.npy
      --autoencoder @in/autoencoder/weights.safetensors --latents @out/latents/train-000.npy
encode --config @in/config/encode.yaml --shard @in/shards/heldout-000.npy
      --autoencoder @in/autoencoder/weights.safetensors --latents @out/latents/heldout-000.npy
latent-statistics --latents @in/latents/train-000.npy --statistics @out/latents/statistics.json
train-diffusion --config @in/config/train-diffusion.yaml --train @in/latents/train-000.npy
      --heldout @in/latents/heldout-000.npy --statistics @in/latents/statistics.json
      --autoencoder @in/autoencoder/weights.safetensors --run-folder @out/diffusion/run
      --weights @out/diffusion/weights.safetensors --curve @out/diffusion/curve.csv
      --quality @out/diffusion/quality.csv --picture @out/diffusion/samples.png
train-diffusion --config @in/config/train-diffusion-imported.yaml --train @in/latents/train-000.npy
      --heldout @in/latents/heldout-000.npy --statistics @in/latents/statistics.json
      --autoencoder @in/autoencoder/weights.safetensors --initial @in/diffusion/weights.safetensors
      --run-folder @out/continued/run --weights @out/continued/weights.safetensors --curve @out/continued/curve.csv
      --quality @out/continued/quality.csv --picture @out/continued/samples.png
sample --config @in/config/sample.yaml --autoencoder @in/autoencoder/weights.safetensors
      --diffusion @in/diffusion/weights.safetensors --first 0 --count 3 --clips @out/samples/0000.npy
preview --config @in/config/preview.yaml --clips @in/samples/0000.npy --folder @out/previews/ddim
preview --config @in/config/preview.yaml --shards @in/shards/train-000.npy --folder @out/previews/real
import-clips --config @in/config/import-clips.yaml --npz @in/samples/0000.npy --clips @out/external.npy
import-clips --config @in/config/import-clips.yaml --videos @in/previews/ddim/00000.mp4 --clips @out/external-videos.npy
import-clips --config @in/config/import-clips.yaml --frames @in/png --clips @out/external-frames.npy
features --config @in/config/features.yaml --clips @in/samples/0000.npy --store @out/parts --features @out/fake.npz
features --config @in/config/features.yaml --shards @in/shards/train-000.npy --features @out/train.npz
features --config @in/config/features.yaml --shards @in/shards/heldout-000.npy --features @out/heldout.npz
features --config @in/config/features-network.yaml --network @in/detector.pt --clips @in/samples/0000.npy
      --features @out/network.npz
score --config @in/config/score.yaml --model lvdm --sampler ddim --real @in/train.npz --fake @in/fake.npz
      --scores @out/scores.csv --curve @out/scores-curve.csv
memorise --config @in/config/memorise.yaml --generated @in/fake.npz --train @in/train.npz --heldout @in/heldout.npz
      --clips @in/samples/0000.npy --shards @in/shards/train-000.npy --distances @out/nearest.csv
      --summary @out/nearest.json --pairs @out/pairs
table --dataset first --scores @in/scores.csv --quality @in/autoencoder/quality.csv --published @in/published.csv
      --shards @in/shards/train-000.json --table @out/table.csv --markdown @out/table.md --latex @out/table.tex
cost --benchmarks @in/benchmarks --jobs @in/slurm_logs --table @out/cost.csv
report --config @in/config/report.yaml --page @out/report/index.html
export-original --autoencoder @in/autoencoder/weights.safetensors --diffusion @in/diffusion/weights.safetensors
      --checkpoint @out/original.ckpt
import-original --config @in/config/import-original.yaml --checkpoint @in/original.ckpt --folder @out/from-original
doctor --config @in/config/pipeline.yaml --profile @in/profile
"""

# Runs Snakemake; its files are read as those of doctor.
OF_SNAKEMAKE = {"tidy"}

CLIP = {"resolution": 32, "length": 8, "step": 4}
COMPUTE = {"device": "cpu", "threads": 1}
TRAINING = {
    "steps": 2,
    "batch_size": 2,
    "accumulate": 1,
    "log_every": 1,
    "validate_every": 2,
    "validate_clips": 2,
    "picture_clips": 2,
}
NETWORKS = {
    "autoencoder": {"hidden_channels": 4, "norm_groups": 4},
    "diffusion": {
        "model_channels": 32,
        "channel_mult": [1],
        "residual_blocks": 1,
        "attention_downsampling": [1],
        "heads": 2,
        "temporal_length": 2,
    },
}
AUTOENCODER = {
    "model": NETWORKS["autoencoder"],
    "discriminator": {"channels": 4, "layers": 1},
    "training": TRAINING,
    "clip": CLIP,
    "compute": COMPUTE,
}
DIFFUSION = {
    "model": NETWORKS["diffusion"],
    "training": TRAINING,
    "preview_sampler": {"method": "ddim", "steps": 2},
    "compute": COMPUTE,
}
FEATURES = {"detector": {"kind": "random3d", "features": 4}, "clip": CLIP, "batch_size": 4, "compute": COMPUTE}
METRICS = {"kernel": {"subsets": 2, "subset_size": 2}, "bootstrap": 2, "curve_points": 3}
PIPELINE = {
    "datasets": {"first": {"videos": "@in/videos/*.mp4"}},
    "data": {"resolution": 32, "length": 8, "step": 4},
    "autoencoder": {"model": NETWORKS["autoencoder"]},
    "diffusion": {"model": NETWORKS["diffusion"], "scaling": {"shift": 0.0, "scale": 1.0}},
    "results": "@out/results",
    "compute": COMPUTE,
}
CONFIGS: dict[str, Any] = {
    "make-demo-videos": {"patients": 2, "frames": 16, "size": [32, 32], "fps": 10.0, "panel_every": 0},
    "crop": {},
    "probe": {"clip": CLIP},
    "extract": {"clip": CLIP},
    "shard": {"resolution": 32},
    "train-autoencoder": AUTOENCODER,
    "encode": {"clip": CLIP, "batch_size": 2, "compute": COMPUTE},
    "train-diffusion": DIFFUSION,
    "train-diffusion-imported": DIFFUSION | {"init": "imported", "training": TRAINING | {"steps": 0}},
    "sample": {"sampler": {"method": "ddim", "steps": 2}, "batch_size": 4, "compute": COMPUTE},
    "preview": {"clip": CLIP, "videos": 2, "size": 32},
    "import-clips": {},
    "features": FEATURES,
    "score": {
        "dataset": "first",
        "protocol_name": "lossless",
        "detector_name": "random3d",
        "detector": FEATURES["detector"],
        "metrics": METRICS,
        "threads": 1,
    },
    "memorise": {"clip": CLIP, "pairs": 1},
    "report": {
        "report": {"videos": 1, "preview_size": 32},
        "datasets": [
            {
                "name": "first",
                "manifest": "@in/manifest.csv",
                "records": ["@in/frames/patient-01.json"],
                "table": "@in/table.csv",
                "latex": "@in/table.tex",
                "autoencoder_curve": "@in/autoencoder/curve.csv",
                "autoencoder_quality": "@in/autoencoder/quality.csv",
                "reconstructions": "@in/autoencoder/reconstructions.png",
                "diffusion_curve": "@in/diffusion/curve.csv",
                "diffusion_quality": "@in/diffusion/quality.csv",
                "samples": "@in/diffusion/samples.png",
                "statistics": "@in/latents/statistics.json",
                "real_previews": "@in/previews/real",
                "generated_previews": ["@in/previews/ddim"],
                "models": [
                    {
                        "protocol": "lossless",
                        "detector": "random3d",
                        "model": "ddim",
                        "curve": "@in/scores-curve.csv",
                        "distances": "@in/nearest.csv",
                        "pairs": "@in/pairs",
                    }
                ],
                "configs": ["@in/config/frozen-sample.json"],
                "cost": "@in/cost.csv",
            }
        ],
    },
    "import-original": PIPELINE,
    "pipeline": PIPELINE | {"evaluate": {"published": "@in/published.csv"}},
}

# Written by other stages in the same form: neither is a wrong file in the place of the other.
SAME_FORM = {
    "import-clips --clips": "sample --clips",
    "train-diffusion --quality": "train-autoencoder --quality",
    "make-demo-videos --folder": "preview --folder",
    "table --table": "score --scores",
}
# Written with a record (.json) beside them.
RECORDED = ("frames", "shard", "weights", "latents")
# Folders of a state that is kept: what a stage leaves in them is no output.
KEPT = ("run-folder", "store")

# What is tried in place of one file of a folder.
WITHIN = ("empty", "text", "noise", "objects", "half of it", "json mapping")

# Pairs that are not wrong, with the reason.
RIGHT_ALL_THE_SAME = {
    ("cost --benchmarks", "an empty folder"): "nothing was measured yet",
    ("cost --jobs", "missing"): "a run without SLURM has no such folder",
    ("cost --jobs", "an empty folder"): "no job was submitted yet",
    **{("cost --jobs", f"within: {name}"): "a job may write anything into its log" for name in WITHIN},
    ("report @pairs", "an empty folder"): "no pairs were asked for",
}


# ------------------------------------------------------------------------------------------ a tiny run of all stages


def option_values(line: list[str]) -> dict[str, list[str]]:
    """The options of a command without their dashes, and the values of each."""
    found: dict[str, list[str]] = {}
    for word in line[1:]:
        if word.startswith("--"):
            found[word[2:]] = values = []
        else:
            values.append(word)
    return found


LINES = [shlex.split(line) for line in COMMANDS.replace("\n ", " ").strip().splitlines()]


class Perceptual(torch.nn.Module):
    """Called as NVIDIA's vgg16.pt is."""

    def forward(self, images: torch.Tensor, resize_images: bool, return_lpips: bool) -> torch.Tensor:
        return images.mean(dim=[2, 3])


class Detector(torch.nn.Module):
    """Clips (B, 3, T, H, W) to three values."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return clips.mean(dim=[2, 3, 4])


def write_prepared(folder: Path, address: str) -> None:
    """What no stage of the run makes: networks of others, configurations, benchmark files, a profile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name, network in (("perceptual", Perceptual()), ("detector", Detector())):
            torch.jit.save(torch.jit.script(network), folder / f"{name}.pt")
    stated = {
        name: {"path": f"{name}.pt", "size": (folder / f"{name}.pt").stat().st_size}
        for name in ("perceptual", "detector")
    }
    configs = CONFIGS | {
        "fetch": {"url": f"{address}/detector.pt", "size": stated["detector"]["size"]},
        "train-autoencoder-imported": AUTOENCODER
        | {"init": "imported", "training": TRAINING | {"steps": 0}, "loss": {"perceptual": stated["perceptual"]}},
        "features-network": FEATURES | {"detector": {"kind": "video", "features": 3, "file": stated["detector"]}},
    }
    for name, config in configs.items():
        write(folder / f"config/{name}.yaml", placed(yaml.safe_dump(config, sort_keys=False), folder, folder).encode())
    for stage in ("sample", "shard", "train-diffusion"):
        frozen = {"stage": f"{stage}.ddim", "code": "pinned", "config": CONFIGS[stage]}
        write(folder / f"config/frozen-{stage}.json", json.dumps(frozen).encode())
    rows = [f"{id},{folder}/videos/{id}.mp4,both,train," for id in ("patient-01", "patient-02")]
    write(folder / "listing.csv", "\n".join(["id,path,group,split,left_out", *rows, ""]).encode())
    write(folder / "published.csv", b"model,metric,value,source\nLVDM,frechet_distance,372.9,a paper\n")
    write(folder / "benchmarks/first/encode.tsv", b"s\th:m:s\tmax_rss\tcpu_time\n1.5\t0:00:01\t100.0\t1.2\n")
    write(folder / "slurm_logs/rule_encode/1.log", b"rule encode:\n    output: x\n")
    write(folder / "profile/config.yaml", b"executor: local\ncores: 1\n")
    for number in range(8):
        picture = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        write(folder / f"pictures/video/{number:04}.png", png(picture))


def png(picture: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def placed(text: str, inputs: Path, outputs: Path) -> str:
    return text.replace("@in", str(inputs)).replace("@out", str(outputs))


@pytest.fixture(autouse=True)
def _in_process(monkeypatch):
    """Signals are those of the test process, and a stage must not take them over."""
    monkeypatch.setattr(command, "_end_on_signals", lambda: None)
    monkeypatch.setattr("lvdm.training.distributed.launch", lambda gpus: f"started {gpus} processes")


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """The folder of a finished run, made once for all the processes that the tests run in. Not to be changed."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "all-stages"
    with FileLock(shared / "all-stages.lock"):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder)
            (folder / "done").touch()
    return folder


def _make(folder: Path) -> None:
    folder.mkdir()
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        patch.setattr(command, "_end_on_signals", lambda: None)
        write_prepared(folder, f"http://127.0.0.1:{server.server_port}")
        for line in LINES:
            arguments = [placed(word, folder, folder) for word in line]
            assert command.main(arguments) == 0, " ".join(arguments)
        server.shutdown()


# ------------------------------------------------------------------------------------------------- what can be wrong


@dataclass(frozen=True)
class Slot:
    """A place for a file: the option of a command, the record beside its file, or a key of the configuration."""

    line: int
    option: str
    right: str
    """The first right value, with @in."""
    part: str = "file"
    """file, record, or the key in the configuration."""

    @property
    def stage(self) -> str:
        return LINES[self.line][0]

    @property
    def name(self) -> str:
        place = f"--{self.option}" if self.part in ("file", "record") else f"@{self.part}"
        return f"{self.stage} {place}" + (" record" if self.part == "record" else "")


def _slots() -> Iterator[Slot]:
    found = set()
    for number, line in enumerate(LINES):
        for option, values in option_values(line).items():
            if not values or not values[0].startswith("@in/"):
                continue
            slots = [Slot(number, option, values[0])]
            if (
                line[0] != "export-frames"
                and values[0] in MADE_BY
                and MADE_BY[values[0]].rpartition("--")[2] in RECORDED
            ):
                slots.append(Slot(number, option, str(Path(values[0]).with_suffix(".json")), "record"))
            if option == "config" and line[0] == "report":
                slots += [
                    Slot(number, option, right, key) for key, right in _file_keys(CONFIGS["report"]["datasets"][0])
                ]
            yield from (slot for slot in slots if slot.name not in found)
            found |= {slot.name for slot in slots}


def _file_keys(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        first = value[0] if isinstance(value, list) else value
        if isinstance(first, dict):
            yield from _file_keys(first)
        elif str(first).startswith("@in/"):
            yield key, first


MADE_BY = {
    value.replace("@out", "@in"): SAME_FORM.get(name := f"{line[0]} --{option}", name)
    for line in LINES
    for option, values in option_values(line).items()
    for value in values
    if value.startswith("@out/")
}
FOLDERS = ("folder", "pairs", "run-folder", "store")
SLOTS = list(_slots())


def form(path: str) -> str:
    """What a file of the run is; files of one form can stand for each other."""
    if not path or path in MADE_BY:
        return MADE_BY.get(path, "")
    whole = str(Path(path).with_suffix(".npy")), str(Path(path).with_suffix(".safetensors"))
    for other in (*whole, str(Path(path).with_suffix(".mkv"))):
        if path.endswith(".json") and other in MADE_BY:
            return f"record of {MADE_BY[other]}"
    return path


OTHERS = {
    f"{form(path)}: {path[4:]}": path
    for made in MADE_BY
    if MADE_BY[made].rpartition("--")[2] not in FOLDERS
    for path in (
        made,
        *([str(Path(made).with_suffix(".json"))] if MADE_BY[made].rpartition("--")[2] in RECORDED else []),
    )
} | {
    path: f"@in/{path}"
    for path in (
        "published.csv",
        "detector.pt",
        "config/frozen-shard.json",
        "config/frozen-train-diffusion.json",
        "config/pipeline.yaml",
        "benchmarks/first/encode.tsv",
        "previews/ddim/00000.mp4",
        "pictures/video/0000.png",
        "pairs/00-training.npy",
    )
}
MOVING = ("make-demo-videos --folder", "preview --folder")


class Trap:
    """Unpickled, it leaves a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(64)


def archive(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, "hello")
    return buffer.getvalue()


def tensors(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path)


def contents(trap: Trap) -> dict[str, bytes]:
    """Wrong contents of a file, whatever the right one is."""
    words = {
        "empty": b"",
        "text": b"hello, this is a note\n",
        "noise": np.random.default_rng(1).bytes(3000),
        "zeros": bytes(4096),
        "latin-1 table": "a,b\nmüde,1\n".encode("latin-1"),
        "a table of other columns": b"a,b\n1,2\n",
        "a header alone": b"a,b\n",
        "one line break": b"\n",
        "a quote that does not end": b'a,b\n"1,2\n',
        "json mapping": b"{}",
        "json list": b"[]",
        "json null": b"null",
        "json number": b"17",
        "json list of lists": b"[[1, [2]], [3]]",
        "json of another shape": b'{"videos": 3, "windows": {"a": 1}, "stage": 1, "code": [], "config": 1, "kind": 3}',
        "json of wrong types": b'{"usable": "yes", "frames": "many", "videos": [7], "windows": [7], "model": null}',
        "json too deep": b"[" * 200_000,
        "json of huge numbers": b'{"frames": 1e999, "shift": 1e999, "scale": NaN, "windows": [[1e999, -1]]}',
        "invalid yaml": b"a: [1, 2\nb: }",
        "yaml of tags": b"!!python/object/apply:os.mkdir [" + str(trap.mark).encode() + b"]\n",
        "yaml that holds itself": b"a: &a [*a]\n",
        "yaml of other keys": b"1: 2\n2020-01-01: {x: .inf}\n",
        "floats": npy(np.zeros((4, 4))),
        "numbers without a shape": npy(np.uint8(3)),
        "frames of another shape": npy(np.zeros((3, 3), np.uint8)),
        "grey videos": npy(np.zeros((2, 8, 32, 32, 1), np.uint8)),
        "strings": npy(np.array(["a", "b"])),
        "objects": npy(np.array([trap], dtype=object)),
        "archive of objects": npz(values=np.array([trap], dtype=object), videos=np.array([trap], dtype=object)),
        "archive of other arrays": npz(a=np.zeros(3)),
        "features that do not belong together": npz(
            values=np.zeros((3, 4), np.float32),
            videos=np.array(["a"]),
            firsts=np.zeros(2),
            runs=np.array([[0, 99]]),
            starts=np.zeros(1),
        ),
        "features of no shape": npz(
            values=np.float32(1), videos=np.array("a"), firsts=np.array(1), runs=np.array(3), probabilities=np.zeros(2)
        ),
        "fewer numbers than the header says": header((10**6, 10**6, 10**6, 3)),
        "fewer videos than the header says": header((2, 8, 32, 32, 3)),
        "a negative size": header((-1, 32, 32, 3)),
        "an archive of text": archive("note.txt"),
        "an archive of text named .npy": archive("values.npy"),
        "half an archive": npz(values=np.zeros((30, 4), np.float32))[:300],
        "a pickle": pickled({"state_dict": trap}),
        "a state of other tensors": pickled({"state_dict": {"weight": torch.zeros(3)}}),
        "a header of safetensors": b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
        "a picture": png(np.zeros((8, 8, 3), np.uint8)),
        "half a picture": png(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))[:1000],
        "a matroska header": b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01",
    }
    return words


def truncated(right: bytes, share: float) -> bytes:
    """The first part of a right file; a text is cut within its last row, before half of the cells."""
    if b"\0" in right[:4000] or right[:1] == b"{":
        return right[: int(share * len(right))]
    *before, last = right.rstrip(b"\n").split(b"\n")
    return b"\n".join([*before, last[: max(1, len(last) // 3)]])


CUTS = {"half of it": 0.5, "cut at its end": 0.8}
CONTENTS = tuple(contents(Trap(Path("/"))))
PLACES = ("missing", "a folder", "a link to itself", "other tensors", "half of it", "cut at its end", "unreadable")


def cases(slot: Slot) -> list[str]:
    """The names of what is tried at a place, in a fixed order."""
    is_folder = slot.right in MADE_BY and MADE_BY[slot.right].rpartition("--")[2] in FOLDERS
    if is_folder or slot.right in ("@in/pictures", "@in/benchmarks", "@in/slurm_logs", "@in/profile"):
        names = ["missing", "text", "empty", "a link to itself", "an empty folder"]
        names += [f"within: {name}" for name in WITHIN]
        names += [f"other: {label}" for label in OTHERS]
    else:
        names = [
            *PLACES,
            *CONTENTS,
            *(f"other: {label}" for label in OTHERS if form(OTHERS[label]) != form(slot.right)),
        ]
    return [name for name in names if (slot.name, name) not in RIGHT_ALL_THE_SAME and not _is_right(slot, name)]


def _is_right(slot: Slot, name: str) -> bool:
    """Whether a name stands for something that the place takes after all."""
    other = OTHERS.get(name.removeprefix("other: "), "")
    if slot.option == "config" and slot.part == "file":  # all settings have defaults, where there are any
        return (
            name == "json mapping"
            or other.endswith(f"frozen-{slot.stage}.json")
            or (slot.stage == "doctor" and other.endswith("pipeline.yaml"))
        )
    if slot.stage == "inspect" and slot.option == "video":  # what is no video is described as what it is
        return name not in ("missing", "a link to itself", "unreadable")
    moving = form(other).endswith(("extract --frames", "--folder")) or other.endswith(".mp4")
    pictured = other.endswith(".png") or name == "a picture"
    if slot.right.endswith((".mp4", ".mkv")):  # a picture is a video of one frame, and refused where that is too short
        return moving
    if slot.right.endswith(".png"):
        return pictured
    if slot.part == "configs":
        return "frozen" in name
    return False


def chosen(slot: Slot, name: str) -> bool:
    """A twentieth, the same ones always."""
    return hashlib.sha256(f"{slot.name} {name}".encode()).digest()[0] % 20 == 0


# ------------------------------------------------------------------------------------------------------- trying them


def spoil(slot: Slot, name: str, run: Path, folder: Path) -> tuple[Path, Path] | None:
    """Make the wrong file; returns the path to give for the place's file, and the one that has to be named."""
    right = Path(slot.right.replace("@in", str(run)))
    if name.startswith("other: "):
        path = Path(OTHERS[name.removeprefix("other: ")].replace("@in", str(run)))
        if slot.part != "record":
            return path, path
    main = _main_file(slot, run)
    wrong = folder / f"wrong{right.suffix}"
    given = wrong if slot.part != "record" else folder / f"wrong{main.suffix}"
    if slot.part == "record":
        given.symlink_to(main)
    elif main.with_suffix(".json").exists() and main.suffix != ".json":
        (folder / "wrong.json").symlink_to(main.with_suffix(".json"))
    if name.startswith("within: "):
        return _spoil_within(right, name.removeprefix("within: "), wrong)
    if name == "a folder":
        (wrong / "a").mkdir(parents=True)
    elif name == "an empty folder":
        wrong.mkdir()
    elif name == "a link to itself":
        wrong.symlink_to(wrong)
    elif name == "other tensors":
        tensors(wrong)
    elif name in CUTS:
        write(wrong, truncated(right.read_bytes(), CUTS[name]))
    elif name == "unreadable":
        write(wrong, right.read_bytes()).chmod(0)
        if os.access(wrong, os.R_OK):  # root may read whatever it wants
            return None
    elif name.startswith("other: "):
        shutil.copyfile(path, wrong)
    elif name != "missing":
        write(wrong, contents(Trap(folder / "trap"))[name])
    return given, wrong


def _main_file(slot: Slot, run: Path) -> Path:
    """The file of the option; of a key in the configuration, the file that it names."""
    value = slot.right if slot.part not in ("file", "record") else option_values(LINES[slot.line])[slot.option][0]
    return Path(value.replace("@in", str(run)))


def _spoil_within(right: Path, name: str, wrong: Path) -> tuple[Path, Path] | None:
    shutil.copytree(right, wrong)
    first = next(path for path in sorted(wrong.rglob("*")) if path.is_file())
    content = first.read_bytes()
    write(first, truncated(content, CUTS[name]) if name in CUTS else contents(Trap(wrong.parent / "trap"))[name])
    return wrong, first


def arguments_with(slot: Slot, given: Path, run: Path, folder: Path) -> list[str]:
    """The right command, but for the one file."""
    values = option_values(LINES[slot.line])
    if slot.part in ("file", "record"):
        values[slot.option] = [str(given)]
    else:
        config = json.loads(json.dumps(CONFIGS["report"]))
        _replace(config["datasets"][0], slot.part, str(given))
        path = write(folder / "report.yaml", placed(yaml.safe_dump(config), run, folder / "out").encode())
        values["config"] = [str(path)]
    words = [LINES[slot.line][0], *(word for option, given in values.items() for word in (f"--{option}", *given))]
    return [placed(word, run, folder / "out") for word in words]


def _replace(config: dict[str, Any], key: str, value: str) -> None:
    for name, old in config.items():
        if name == key:
            config[name] = [value] if isinstance(old, list) else value
        elif isinstance(old, list) and isinstance(old[0], dict):
            _replace(old[0], key, value)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def leave_earlier_outputs(line: list[str], folder: Path) -> None:
    for option, values in option_values(line).items():
        for value in values:
            if value.startswith("@out/") and option not in KEPT:
                path = folder / "out" / value.removeprefix("@out/")
                write(path / "earlier.txt" if option in FOLDERS else path, b"earlier\n")


@dataclass
class Tried:
    """What a command did: its exit code, or what left it, and all that it said."""

    code: int | str | None
    said: str


@pytest.fixture
def attempt(caplog, capsys) -> Callable[[list[str]], Tried]:
    def call(arguments: list[str]) -> Tried:
        caplog.clear()
        capsys.readouterr()
        try:
            code: int | str | None = command.main(arguments)
        except SystemExit as error:
            code = error.code
        except BaseException as error:
            code = f"{type(error).__name__}: {str(error)[:200]}"
        return Tried(code, caplog.text + "".join(capsys.readouterr()))

    return call


def complaint(tried: Tried, name: str, before: dict[str, bytes], after: dict[str, bytes]) -> str:
    """What is not as it has to be after a wrong file; empty when all is."""
    if tried.code not in (1, 2):
        return f"ended with {tried.code}"
    if "Traceback" in tried.said:
        return "showed a traceback"
    if name not in tried.said:
        return f"did not name {name}: {tried.said.strip()[-200:]}"
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    # What was found out about recordings on the way to a manifest is kept for the next try.
    if changed := [path for path in changed if not path.startswith("inspections/")]:
        return f"left {', '.join(changed)}"
    return ""


def try_all(slot: Slot, names: list[str], run: Path, folder: Path, attempt) -> dict[str, str]:
    """What went wrong at a place, by what was tried."""
    found = {}
    for number, name in enumerate(names):
        place = folder / str(number)
        (place / "out").mkdir(parents=True)
        made = spoil(slot, name, run, place)
        if made is None:
            continue
        if number % 2:
            leave_earlier_outputs(LINES[slot.line], place)
        before = tree(place / "out")
        tried = attempt(arguments_with(slot, made[0], run, place))
        said = complaint(tried, made[1].name, before, tree(place / "out"))
        if (place / "trap").exists():
            said = "ran what was pickled"
        if said:
            found[name] = said
        shutil.rmtree(place)
    return found


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_a_twentieth_of_all_wrong_files_is_refused_by_name(slot, run, tmp_path, attempt):
    assert not try_all(slot, [name for name in cases(slot) if chosen(slot, name)], run, tmp_path, attempt)


@pytest.mark.slow
@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_every_wrong_file_is_refused_by_name(slot, run, tmp_path, attempt):
    assert not try_all(slot, cases(slot), run, tmp_path, attempt)


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_right_files_are_taken(line, run):
    """The run was made of these very commands, so a stage that refuses everything would have failed there."""
    for option, values in option_values(line).items():
        for value in values:
            if value.startswith("@out/") and option not in KEPT:
                assert Path(value.replace("@out", str(run))).exists()


def test_every_stage_and_every_path_is_tried():
    """Options are those of the signatures, so that a new stage or file is not left out."""
    tried: dict[str, set[str]] = {}
    for line in LINES:
        tried.setdefault(line[0], set()).update(option_values(line))
    for stage in set(command.STAGES) - OF_SNAKEMAKE:
        run = __import__(f"lvdm.stages.{stage.replace('-', '_')}", fromlist=["run"]).run
        hints = get_type_hints(run)
        options = {name for name in inspect.signature(run).parameters if "Path" in str(hints[name])}
        missing = {name.replace("_", "-") for name in options} - tried.get(stage, set())
        assert not missing, f"add a command of stage {stage} with {missing} to COMMANDS"


# ----------------------------------------------------------------------------------------- outputs and option values


def _outputs() -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(LINES):
        for option, values in option_values(line).items():
            if values and values[0].startswith("@out/"):
                found.setdefault(f"{line[0]} --{option}", (number, option))
    return found


OUTPUTS = _outputs()


@pytest.mark.parametrize("way", ["a file in place of its folder", "a folder in its place"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_that_cannot_be_written_is_named_before_anything_is(output, way, run, tmp_path, attempt):
    number, option = OUTPUTS[output]
    values = option_values(LINES[number])
    blocked = tmp_path / "out/blocked"
    if way == "a file in place of its folder":
        write(blocked, b"a file\n")
        values[option] = [str(blocked / Path(values[option][0]).name)]
    elif option in FOLDERS:
        write(blocked, b"a file\n")
        values[option] = [str(blocked)]
    else:
        write(blocked / "a", b"earlier\n")
        values[option] = [str(blocked)]
    before = tree(tmp_path / "out")
    words = [LINES[number][0], *(word for name, given in values.items() for word in (f"--{name}", *given))]
    tried = attempt([placed(word, run, tmp_path / "out") for word in words])
    assert not complaint(tried, "blocked", before, tree(tmp_path / "out"))


def _numbers() -> list[tuple[int, str]]:
    """The options that take a number: a command of the stage, and the option."""
    found = {}
    for number, line in enumerate(LINES):
        run = __import__(f"lvdm.stages.{line[0].replace('-', '_')}", fromlist=["run"]).run
        for name, hint in get_type_hints(run).items():
            if hint is int:
                found.setdefault((line[0], name), (number, name.replace("_", "-")))
    return list(found.values())


@pytest.mark.parametrize("value", ["-1", "-1000000000000000000000", "many", "1.5", ""])
@pytest.mark.parametrize(
    ("number", "option"), _numbers(), ids=lambda item: LINES[item][0] if isinstance(item, int) else item
)
def test_a_wrong_number_is_refused(number, option, value, run, tmp_path, attempt):
    words = [placed(word, run, tmp_path / "out") for word in LINES[number]]
    (tmp_path / "out").mkdir()
    tried = attempt([*words, f"--{option}={value}"])
    assert not complaint(tried, option, {}, tree(tmp_path / "out"))


@pytest.mark.parametrize("option", ["gpus", "nodes", "count"])
def test_zero_of_something_is_refused(option, run, tmp_path, attempt):
    number = next(number for number, name in _numbers() if name == option)
    (tmp_path / "out").mkdir()
    tried = attempt([*(placed(word, run, tmp_path / "out") for word in LINES[number]), f"--{option}", "0"])
    assert not complaint(tried, option, {}, tree(tmp_path / "out"))


@pytest.mark.parametrize("stage", ["make-demo-videos", "table"])  # with settings, and without
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("no_such_key=1", "no_such_key"),
        ("no_such_key.below=1", "no_such_key"),
        ("no_such_key", "no_such_key"),
        ("no_such_key=[1", "no_such_key"),
        ("no_such_key=!!python/name:os.mkdir", "no_such_key"),
        ("no_such_key=&a [*a]", "no_such_key"),
        ("no_such_key=2020-01-01", "no_such_key"),
        ("=1", "=1"),
        ("a..b=1", "a..b"),
    ],
)
def test_a_wrong_setting_is_refused(stage, change, named, run, tmp_path, attempt):
    line = next(line for line in LINES if line[0] == stage)
    (tmp_path / "out").mkdir()
    tried = attempt([*(placed(word, run, tmp_path / "out") for word in line), "--set", change])
    assert not complaint(tried, named, {}, tree(tmp_path / "out"))


def _leaves(config_class: Any, prefix: str = "") -> Iterator[str]:
    """The keys of all settings of a stage, as --set takes them."""
    for name, field in config_class.model_fields.items():
        nested = field.annotation
        if inspect.isclass(nested) and hasattr(nested, "model_fields"):
            yield from _leaves(nested, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("share", [10, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("stage", [stage for stage in command.STAGES if stage not in ("doctor", *OF_SNAKEMAKE)])
def test_a_setting_of_a_wrong_type_is_refused_whichever_it_is(stage, share, run, tmp_path, attempt):
    """Every tenth of the settings of a stage by default."""
    hints = get_type_hints(__import__(f"lvdm.stages.{stage.replace('-', '_')}", fromlist=["run"]).run)
    line = next(line for line in LINES if line[0] == stage)
    (tmp_path / "out").mkdir()
    words = [placed(word, run, tmp_path / "out") for word in line]
    for key in list(_leaves(hints["config"]) if "config" in hints else ())[::share]:
        for value in ("{no: {such: thing}}", "[[[]]]"):
            tried = attempt([*words, "--set", f"{key}={value}"])
            assert not complaint(tried, key.split(".")[0], {}, tree(tmp_path / "out")), (key, value)


@pytest.mark.parametrize("arguments", [["no-such-stage"], [], ["table"], ["table", "--no-such-option"], ["--x"]])
def test_a_wrong_command_says_how_to_write_it(arguments, attempt):
    tried = attempt(arguments)
    assert tried.code == 2
    assert "usage: lvdm" in tried.said


@pytest.mark.parametrize("stage", ["make-demo-videos", "table"])
def test_a_log_that_cannot_be_written_is_named(stage, run, tmp_path, attempt):
    line = next(line for line in LINES if line[0] == stage)
    write(tmp_path / "blocked", b"a file\n")
    (tmp_path / "out").mkdir()
    words = [placed(word, run, tmp_path / "out") for word in line]
    tried = attempt([*words, "--log", str(tmp_path / "blocked/run.log")])
    assert not complaint(tried, "blocked", {}, tree(tmp_path / "out"))


def test_the_trap_works(tmp_path):
    """What must never be loaded does something when it is."""
    np.load(write(tmp_path / "a.npy", contents(Trap(tmp_path / "trap"))["objects"]), allow_pickle=True)
    assert (tmp_path / "trap").exists()
    assert sys.getrecursionlimit() < 200_000
