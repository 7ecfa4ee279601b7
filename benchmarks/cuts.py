"""How well black, blank and frozen stretches and burned-in texts are found, and how often they are seen in vain.

    python benchmarks/cuts.py FOLDER ... --stretches 300 --texts 300 --output cuts.json

Every video below the folders is decoded once, and looked at as it is: what is found there is listed, to be compared
with what a viewer sees. Then faults are planted into excerpts, which are encoded by one of eleven encoder settings
and decoded again (see benchmarks/planting.py):

- stretches of one frame to two seconds: black (RGB 0 to 12, some with noise), blacked out with a plate or a date in a
  corner (5 to 16 % of the height), one colour or colour bars, some with "NO SIGNAL", and frozen for 0.5 s or more, in
  two of five excerpts with a running clock or a blinking sign;
- texts of 2.5 to 15 % of the height, anywhere, white, yellow, green or dark, of opacity 0.4 to 1, one in three on a
  plate, one in four a running clock, in recordings of at least 400 lines. A text that changes the picture by less than
  25 levels in half of the frames cannot be read, and is drawn anew. The pieces of one recording (names that differ in
  the last number, --join) are joined, as a text stays over all of a recording.

A stretch is found if each of its frames is left out, but for one; a text if it is covered for three quarters of its
box where it does not change, or half where it does. Beside this package stand the two trivial answers.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from output import write_result
from planting import CODECS, KINDS, Text, Video, decoded, encode, excerpt, plant_stretches, plant_text, read, spread

from lvdm.data.config import CutConfig
from lvdm.data.content import REASONS, left_out, measure, repeats
from lvdm.data.overlay import Overlay, evidence, find_overlays

_SUFFIXES = {".mp4", ".wmv", ".avi", ".mkv", ".mov", ".mpg"}
_CUT = CutConfig()


def main() -> None:
    options = _options()
    paths = sorted(path for folder in options.folders for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    if not paths:
        raise SystemExit("no videos there")
    generator = np.random.default_rng(options.seed)
    videos = [read(path) for path in paths]
    result = {"unplanted": {path.stem: _seen(path, video) for path, video in zip(paths, videos, strict=True)}}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "planted.mkv"
        still = set(options.still)
        moving = [video for video in videos if video.name not in still]
        result["stretches"] = _stretches(moving, options.stretches, file, generator)
        result["texts"] = _texts(_joined(moving, options.join), options.texts, file, generator)
    for name, row in {**result["stretches"], **result["texts"]}.items():
        sys.stdout.write(f"{name:40}{row}\n")
    for name, row in result["unplanted"].items():
        sys.stdout.write(f"as it is: {name:30}{row}\n")
    write_result(result, options.output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--stretches", type=int, default=300, help="of each kind")
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--still", nargs="*", default=[], help="videos that stand still themselves: nothing is planted")
    parser.add_argument("--join", default=r"(cholec80_v\d+)_\d+", help="pattern whose group names the recording")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def _measured(path: Path) -> np.ndarray:
    seen, rows = None, []
    for _, luma, chroma, _ in decoded(path):
        row, seen = measure(luma, chroma, seen)
        rows.append(row)
    return np.stack(rows)


def _seen(path: Path, video: Video) -> dict[str, object]:
    """What is found in a video as it is."""
    measures = _measured(path)
    reasons = left_out(measures, video.times, _CUT)
    found = repeats(measures, video.times)
    height, width = video.frames.shape[1:3]
    overlays = find_overlays(evidence(spread(video.frames)), (0, 0, width, height))
    return {
        "frames": len(reasons),
        "left out": {reason: int((reasons == code).sum()) for code, reason in enumerate(REASONS) if code},
        "repeats": found.frames,
        "pattern": found.pattern,
        "texts": [overlay.box for overlay in overlays],
    }


def _stretches(videos: list[Video], wanted: int, file: Path, generator: np.random.Generator) -> dict[str, dict]:
    counts: dict[str, Counter] = defaultdict(Counter)
    number = 0
    while min((counts[kind]["planted"] for kind in KINDS), default=0) < wanted:
        video = videos[number % len(videos)]
        number += 1
        rate = 1 / float(np.median(np.diff(video.times)))
        frames = excerpt(video, generator)
        lacking = sorted(generator.permutation(KINDS), key=lambda kind: counts[kind]["planted"])
        kinds = [str(kind) for kind in lacking[: 3 if len(frames) > 60 else 1]]
        frames, stretches = plant_stretches(frames, rate, kinds, generator)
        codec = str(generator.choice(list(CODECS)))
        encode(frames, rate, codec, file)
        measures = _measured(file)
        flags = left_out(measures, np.arange(len(measures)) / rate, _CUT) > 0
        live, all_found = np.ones(len(flags), bool), True
        for stretch in stretches:
            true_frame = stretch.kind == "frozen"
            first, stop = stretch.first + true_frame, stretch.first + stretch.frames
            live[stretch.first : stop] = False
            missed = int((~flags[first:stop]).sum())
            found = missed <= (1 if stop - first > 1 else 0)
            all_found &= found
            counts[stretch.kind] += Counter(planted=1, found=int(found), exact=int(missed == 0), missed_frames=missed)
            counts["codec " + codec] += Counter(planted=1, found=int(found))
        counts["recordings"] += Counter(planted=1, found=int(all_found))
        counts["live"] += Counter(frames=int(live.sum()), left_out=int((live & flags).sum()))
        counts["live"]["seconds_left_out"] += float((live & flags).sum() / rate)
        counts["live"]["seconds"] += float(live.sum() / rate)
    return {name: _with_shares(dict(row)) for name, row in counts.items()} | {
        "always": {"recall": 1.0, "false alarms": 1.0},
        "never": {"recall": 0.0, "false alarms": 0.0},
    }


def _with_shares(row: dict) -> dict:
    if "planted" in row:
        row["recall"] = round(row["found"] / row["planted"], 4)
    if "seconds" in row:
        row["false alarms"] = round(row["seconds_left_out"] / row["seconds"], 5)
    return row


def _joined(videos: list[Video], pattern: str) -> list[Video]:
    recordings: dict[str, list[Video]] = {}
    for video in videos:
        match = re.fullmatch(pattern, video.name)
        recordings.setdefault(match[1] if match else video.name, []).append(video)
    return [
        Video(name, np.concatenate([piece.frames for piece in pieces]), np.concatenate([p.times for p in pieces]))
        for name, pieces in recordings.items()
    ]


def _texts(recordings: list[Video], wanted: int, file: Path, generator: np.random.Generator) -> dict[str, dict]:
    counts: dict[str, Counter] = defaultdict(Counter)
    for number in range(wanted):
        recording = recordings[number % len(recordings)]
        frames, text = plant_text(spread(recording.frames), generator)
        codec = str(generator.choice(list(CODECS)))
        encode(frames, 25, codec, file)
        frames = np.stack([rgb for *_, rgb in decoded(file)])
        overlays = find_overlays(evidence(frames), (0, 0, frames.shape[2], frames.shape[1]))
        covered = _covered(overlays, text, frames.shape[1:3])
        found = covered >= (0.5 if text.changing else 0.75)
        elsewhere = sum(not _touches(overlay.box, text.box) for overlay in overlays)
        row = Counter(planted=1, touched=int(covered > 0), found=int(found), elsewhere=elsewhere)
        for name in ("texts", f"opacity {text.opacity:.1f}", _size_class(text), "clocks" if text.changing else "fixed"):
            counts[name] += row
        counts[f"text in {recording.name}"] += row
    return {name: _with_shares(dict(row)) for name, row in sorted(counts.items())}


def _size_class(text: Text) -> str:
    return "size " + ("2.5 to 5 %" if text.size < 0.05 else "5 to 10 %" if text.size < 0.1 else "10 to 15 %")


def _covered(overlays: list[Overlay], text: Text, size: tuple[int, int]) -> float:
    """The share of the text's box that is covered."""
    mask = np.zeros(size, bool)
    for overlay in overlays:
        left, top, width, height = overlay.box
        mask[top : top + height, left : left + width] |= overlay.mask
    left, top, width, height = text.box
    return float(mask[top : top + height, left : left + width].mean())


def _touches(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))


if __name__ == "__main__":
    main()
