"""Seconds that `snakemake -n all` takes: before a run of many videos, and when everything is done.

    python benchmarks/plan.py --videos 1000 --out plan.json

Makes a data set of video files, or with ``--frames`` of folders of images, with the settings of config/config.yaml. All
files are of one size and of different contents, the worst case for finding copies: the first plan reads the ends of
each, those that are timed find them in the results; ``--bytes 0`` makes empty files, which are not compared. Times the
plan, writes all its files as empty placeholders with the records that Snakemake keeps of jobs, makes sure that nothing
is left to be done, and times the plan again. Each time is that of the whole process, the median of ``--repeats``.
Writes JSON to ``--out`` and a line for each plan.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from output import write_result

from lvdm.files import write_text

REPOSITORY = Path(__file__).parents[1]
PROFILES = {"no profile": [], "profile slurm": ["--profile", str(REPOSITORY / "profiles" / "slurm")]}


def main() -> None:
    options = _options()
    result = {name: getattr(options, name) for name in ("videos", "frames", "bytes", "repeats")}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        _make_videos(folder, options.videos, options.frames, options.bytes)
        start = time.perf_counter()
        plan = _snakemake(folder, "-n", "all")
        result["first"] = time.perf_counter() - start
        sys.stdout.write(f"first: {result['first']:.1f} s\n")
        result["jobs"] = len(re.findall(r"^(?:local)?rule \w+:$", plan, re.MULTILINE))
        for state in ("unfinished", "finished"):
            if state == "finished":
                _finish(folder, plan)
            for profile, arguments in PROFILES.items():
                seconds = result[f"{state}, {profile}"] = _measure(folder, options.repeats, *arguments)
                sys.stdout.write(f"{state}, {profile}: {seconds:.1f} s for {result['jobs']} jobs\n")
    write_result(result, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=0, help="images a video; default 0: video files")
    parser.add_argument("--bytes", type=int, default=1024, help="size of each file; default 1024")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the temporary files are made; default: the system's")
    parser.add_argument("--out", type=Path, help="JSON file; default: the JSON goes to the terminal")
    return parser.parse_args()


def _make_videos(folder: Path, videos: int, frames: int, size: int) -> None:
    """The data set, and the configuration that names it."""
    source = {"frames": "data/endoscopy"} if frames else {"videos": "data/endoscopy/*.mp4"}
    settings = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
    write_text(folder / "config.yaml", yaml.safe_dump({**settings, "datasets": {"endoscopy": source}}))
    for number in range(videos):
        video = folder / "data" / "endoscopy" / f"video-{number:05}"
        for file in [video / f"{n:06}.png" for n in range(frames)] or [video.with_suffix(".mp4")]:
            _write_placeholder(file)
            file.write_bytes(f"{number:>20}".encode()[:size].ljust(size))


def _finish(folder: Path, plan: str) -> None:
    """Make every output that a plan names, and Snakemake's record of each."""
    for outputs in re.findall(r"^    output: (.*)$", plan, re.MULTILINE):
        for path in map(folder.joinpath, outputs.split(", ")):
            if path.suffix:
                _write_placeholder(path)
            else:
                path.mkdir(parents=True)
    # Touches in the order of the plan, so no output is older than an input; without --forceall it would touch nothing.
    _snakemake(folder, "--touch", "--forceall", "--cores", "1", "all")
    again = _snakemake(folder, "-n", "all")
    if "Nothing to be done" not in again or "missing provenance" in again:
        raise SystemExit(f"the plan is not finished:\n{again[-5000:]}")


def _write_placeholder(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _measure(folder: Path, repeats: int, *arguments: str) -> float:
    """Median wall-clock time of planning, s."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        _snakemake(folder, "-n", *arguments, "all")
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _snakemake(folder: Path, *arguments: str) -> str:
    """What Snakemake writes, run in ``folder`` with the workflow and the package of this repository."""
    workflow = ["--snakefile", str(REPOSITORY / "workflow" / "Snakefile"), "--configfile", "config.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, *workflow],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    if done.returncode:
        raise SystemExit(f"snakemake {' '.join(arguments)} failed:\n{done.stdout[-5000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
