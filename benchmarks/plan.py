"""Seconds that `snakemake -n all` takes: before a run of many videos, and when everything is done.

    python benchmarks/plan.py --videos 1000 --out plan.json

Makes a folder with empty video files and one data set of the settings of config/config.yaml, writes every file of the
plan as an empty placeholder, and has Snakemake take them for its own (``--touch``), with the records that real jobs leave. Each
time is that of the whole process, median of ``--repeats``. Writes JSON to ``--out`` and a line for each plan.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from lvdm.files import write_json, write_text

REPOSITORY = Path(__file__).parents[1]
NOTHING = "Nothing to be done"


def main() -> None:
    options = _options()
    result = {"videos": options.videos, "repeats": options.repeats}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        _configure(folder, options.videos)
        plan = _snakemake(folder, "-n", "all")
        assert NOTHING not in plan, plan[-2000:]
        result["jobs"] = len(re.findall(r"^(?:local)?rule \w+:$", plan, re.MULTILINE))
        result["unfinished"] = _seconds(folder, options.repeats)
        _finish(folder, plan)
        result["finished"] = _seconds(folder, options.repeats)
        result["finished, profile slurm"] = _seconds(folder, options.repeats, "--profile", str(REPOSITORY / "slurm"))
    for plan in ("unfinished", "finished", "finished, profile slurm"):
        sys.stdout.write(f"{plan}: {result[plan]:.1f} s for {result['jobs']} jobs of {options.videos} videos\n")
    if options.out:
        write_json(options.out, result)
    else:
        sys.stdout.write(json.dumps(result) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made; default: the system's")
    parser.add_argument("--out", type=Path, help="JSON file; default: the JSON goes to the terminal")
    return parser.parse_args()


def _configure(folder: Path, videos: int) -> None:
    settings = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
    settings["datasets"] = {"endoscopy": {"videos": "data/endoscopy/*.mp4"}}
    write_text(folder / "config.yaml", yaml.safe_dump(settings))
    for number in range(videos):
        _placeholder(folder / "data" / "endoscopy" / f"video-{number:05}.mp4")


def _finish(folder: Path, plan: str) -> None:
    """Make every output of a plan, and Snakemake's records of them."""
    for line in re.findall(r"^    output: (.*)$", plan, re.MULTILINE):
        for path in map(folder.joinpath, line.split(", ")):
            if path.suffix:
                _placeholder(path)
            else:
                path.mkdir(parents=True)
    # Touching goes job by job in the order of the plan, so outputs get younger than inputs.
    _snakemake(folder, "--touch", "--forceall", "--cores", "1", "all")
    plan = _snakemake(folder, "-n", "all")
    assert NOTHING in plan, plan[-2000:]


def _placeholder(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _seconds(folder: Path, repeats: int, *arguments: str) -> float:
    """Median wall-clock time of planning."""
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
