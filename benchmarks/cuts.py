"""How well black, blank and frozen stretches and burned-in texts are found, and how often they are seen in vain.

    python benchmarks/cuts.py FOLDER ... --stretches 300 --texts 300 --seed 1 --rows cuts.jsonl

Every video below the folders is looked at as it is: what is found there is listed, to be compared with what a viewer
sees. Then faults are planted into excerpts, which are encoded by one of eleven encoder settings and decoded again (see
benchmarks/planting.py):

- stretches of one frame to two seconds: black (RGB 0 to 12, some with noise), blacked out with a plate or a date in a
  corner (5 to 16 % of the height), one colour or colour bars, some with "NO SIGNAL", and frozen for 0.5 s or more, in
  two of five excerpts with a running clock or a blinking sign;
- texts in recordings of 4 to 6 s: one line, name and date in two or three lines, a running clock of hundredths, or a
  logo, of 2.5 to 15 % of the height (log-uniform) and at least ten pixels, anywhere, white, yellow, green or dark, of
  opacity 0.4, 0.6, 0.8 or 1, three in ten on a plate. A text that cannot be read (its letters differ from the ground by
  less than 25 levels, or by less than three times the noise, in four of ten frames) is drawn anew. The pieces of one
  recording (names that differ in the last number, --join) are joined, as a text stays over all of a recording.

A stretch is found if each of its frames is left out, but for one; a text if the boxes that are found hold 95 % of the
pixels of its letters. Beside the shares stand the two trivial answers.

One recording is in memory at a time. Its row is added to --rows when it is done, and a run that was stopped goes on
there; --planted keeps the recordings with texts, so that another run with the same seed need not make them.
"""

import argparse
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from output import write_result
from planting import (
    CODECS,
    KINDS,
    as_by_a_camera,
    count_frames,
    decoded,
    encode,
    plant_stretches,
    plant_text,
    read,
)

from lvdm.data.config import CutConfig
from lvdm.data.content import REASONS, left_out, measure, repeats
from lvdm.data.overlay import Overlay, evidence, find_overlays

_SUFFIXES = {".mp4", ".wmv", ".avi", ".mkv", ".mov", ".mpg"}
_CUT = CutConfig()
_FOUND = 0.95
# Frames that a planted excerpt has at most, and that texts are looked for in at least.
_LONGEST = 110
_SAMPLES = 24

Row = dict[str, object]


def main() -> None:
    options = _options()
    paths = sorted(path for folder in options.folders for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    if not paths:
        raise SystemExit("no videos there")
    with tempfile.TemporaryDirectory() as temporary:
        rows = _Rows(options.rows)
        for path in paths:
            rows.take(f"as it is: {path.stem}", lambda path=path: _seen(path))
        moving = [path for path in paths if path.stem not in options.still]
        _stretches(moving, options, rows, Path(temporary) / "planted.mkv")
        _texts(_joined(moving, options.join), options, rows, options.planted or Path(temporary))
    result = _table(rows.known)
    for name, row in result.items():
        sys.stdout.write(f"{name:34}{json.dumps(row)}\n")
    if options.output:
        write_result(result, options.output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--stretches", type=int, default=300, help="of each kind")
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--still", nargs="*", default=[], help="videos that stand still themselves: nothing is planted")
    parser.add_argument("--join", default=r"(cholec80_v\d+)_\d+", help="pattern whose group names the recording")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=Path, help="JSON lines, one for each recording, to go on from")
    parser.add_argument("--planted", type=Path, help="folder that keeps the recordings with texts")
    parser.add_argument("--output", type=Path, help="JSON with the table")
    return parser.parse_args()


class _Rows:
    """What is known of each recording, in a file that grows."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.known = path, {}
        if path and path.exists():
            self.known = {row.pop("name"): row for row in map(json.loads, path.read_text().splitlines())}

    def take(self, name: str, found: Callable[[], Row]) -> Row:
        """The row of that name, found now if it is not known."""
        if name not in self.known:
            self.known[name] = found()
            if self.path:
                with self.path.open("a") as file:
                    file.write(json.dumps({"name": name, **self.known[name]}) + "\n")
        return self.known[name]


def _measured(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[int, int], list[np.ndarray]]:
    """Measures, times, size, and frames spread as an inspection spreads them (green channel)."""
    seen, rows, times, kept, step = None, [], [], [], 1
    for number, (time, luma, chroma, rgb) in enumerate(decoded(path)):
        row, seen = measure(luma, chroma, seen)
        rows.append(row)
        times.append(time)
        if number % step == 0:
            kept.append(rgb[..., 1].copy())
        if len(kept) == 2 * _SAMPLES:
            kept, step = kept[::2], 2 * step
    return np.stack(rows), np.array(times), kept[0].shape, kept


def _seen(path: Path) -> Row:
    """What is found in a video as it is."""
    measures, times, (height, width), kept = _measured(path)
    reasons = left_out(measures, times, _CUT)
    found = repeats(measures, times)
    overlays = find_overlays(evidence(kept), (0, 0, width, height))
    return {
        "frames": len(reasons),
        "left out": {reason: int((reasons == code).sum()) for code, reason in enumerate(REASONS) if code},
        "repeats": found.frames,
        "pattern": found.pattern,
        "texts": [overlay.box for overlay in overlays],
    }


def _stretches(paths: list[Path], options: argparse.Namespace, rows: _Rows, file: Path) -> None:
    planted = Counter(dict.fromkeys(KINDS, 0))
    number = 0
    while min(planted.values()) < options.stretches:
        generator = np.random.default_rng([options.seed, 0, number])
        path = paths[number % len(paths)]
        name = f"stretches {options.seed}-{number}"
        row = rows.take(name, lambda path=path, generator=generator: _stretched(path, generator, file))
        planted.update(kind for kind, _, _ in row["stretches"])
        number += 1


def _stretched(path: Path, generator: np.random.Generator, file: Path) -> Row:
    total, interval = count_frames(path)
    rate, count = 1 / interval, min(total, _LONGEST)
    frames = as_by_a_camera(read(path, int(generator.integers(total - count + 1)), count), generator)
    kinds = [str(kind) for kind in generator.permutation(KINDS)[: 3 if len(frames) > 60 else 1]]
    frames, stretches = plant_stretches(frames, rate, kinds, generator)
    codec = str(generator.choice(list(CODECS)))
    encode(frames, rate, codec, file)
    measures = np.stack(_measures(file))
    flags = left_out(measures, np.arange(len(measures)) / rate, _CUT) > 0
    live, found = np.ones(len(flags), bool), []
    for stretch in stretches:
        first, stop = stretch.first + (stretch.kind == "frozen"), stretch.first + stretch.frames
        live[stretch.first : stop] = False
        found.append((stretch.kind, stop - first, int((~flags[first:stop]).sum())))
    vain = int((live & flags).sum())
    return {"video": path.stem, "codec": codec, "stretches": found, "rate": rate, "live": int(live.sum()), "vain": vain}


def _measures(path: Path) -> list[np.ndarray]:
    seen, rows = None, []
    for _, luma, chroma, _ in decoded(path):
        row, seen = measure(luma, chroma, seen)
        rows.append(row)
    return rows


def _joined(paths: list[Path], pattern: str) -> dict[str, list[Path]]:
    recordings: dict[str, list[Path]] = {}
    for path in paths:
        match = re.fullmatch(pattern, path.stem)
        recordings.setdefault(match[1] if match else path.stem, []).append(path)
    return recordings


def _texts(recordings: dict[str, list[Path]], options: argparse.Namespace, rows: _Rows, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(options.texts):
        name = list(recordings)[number % len(recordings)]
        file = folder / f"{options.seed}-{number}.mkv"
        generator = np.random.default_rng([options.seed, 1, number])

        def found(name: str = name, file: Path = file, generator: np.random.Generator = generator) -> Row:
            if not file.with_suffix(".npz").exists():
                _write_text(recordings[name], generator, file)
            return {"video": name, **_text(file)}

        rows.take(f"text {options.seed}-{number}", found)


def _write_text(pieces: list[Path], generator: np.random.Generator, file: Path) -> None:
    """Burn a text into four to six seconds, from all pieces of a recording."""
    share = int(generator.integers(100, 151)) // len(pieces)
    parts = []
    for path in pieces:
        total = count_frames(path)[0]
        count = min(share, total)
        parts.append(read(path, int(generator.integers(total - count + 1)), count))
    height, width = (min(part.shape[axis] for part in parts) for axis in (1, 2))
    frames, text = plant_text(np.concatenate([part[:, :height, :width] for part in parts]), generator)
    codec = str(generator.choice(list(CODECS)))
    encode(frames, 25, codec, file)
    facts = {"kind": text.kind, "size": round(text.size, 4), "opacity": text.opacity, "plate": text.plate}
    with file.with_suffix(".npz").open("wb") as written:
        np.savez_compressed(written, pixels=text.pixels, facts=json.dumps(facts | {"codec": codec}))


def _text(file: Path) -> Row:
    """How much of a planted text is found."""
    with np.load(file.with_suffix(".npz")) as stored:
        pixels, facts = stored["pixels"], json.loads(str(stored["facts"]))
    kept = sampled(file)
    height, width = kept[0].shape
    overlays = find_overlays(evidence(kept), (0, 0, width, height))
    return facts | {"lines": height} | judged(overlays, pixels[:height, :width])


def sampled(path: Path) -> list[np.ndarray]:
    """Green channels of frames spread as an inspection spreads them."""
    kept, step = [], 1
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % step == 0:
                kept.append(frame.to_ndarray(format="rgb24")[..., 1].copy())
            if len(kept) == 2 * _SAMPLES:
                kept, step = kept[::2], 2 * step
    return kept


def judged(overlays: list[Overlay], pixels: np.ndarray) -> Row:
    """The share of the letters that the boxes hold, boxes elsewhere, and their area beside that of the text's."""
    boxes = np.zeros(pixels.shape, bool)
    elsewhere = 0
    for left, top, width, height in (overlay.box for overlay in overlays):
        place = np.s_[top : top + height, left : left + width]
        boxes[place] = True
        elsewhere += not pixels[place].any()
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    own = (rows[-1] + 1 - rows[0]) * (columns[-1] + 1 - columns[0])
    share = float(boxes[pixels].mean())
    return {"share": round(share, 3), "elsewhere": elsewhere, "area": round(float(boxes.sum() / own), 2)}


def _table(rows: dict[str, Row]) -> dict[str, object]:
    counts: dict[str, Counter] = defaultdict(Counter)
    areas = [row["area"] for name, row in rows.items() if name.startswith("text ") and row["share"] >= _FOUND]
    for row in (row for name, row in rows.items() if name.startswith("stretches ")):
        for kind, frames, missed in row["stretches"]:
            found = missed <= (1 if frames > 1 else 0)
            counts[kind] += Counter(planted=1, found=int(found), exact=int(missed == 0))
            counts[f"codec {row['codec']}"] += Counter(planted=1, found=int(found))
        counts["live"]["seconds"] += row["live"] / row["rate"]
        counts["live"]["seconds_left_out"] += row["vain"] / row["rate"]
    for row in (row for name, row in rows.items() if name.startswith("text ")):
        one = Counter(planted=1, found=int(row["share"] >= _FOUND), touched=int(row["share"] > 0))
        one["elsewhere"] += row["elsewhere"] > 0
        size = "2.5 to 5 %" if row["size"] < 0.05 else "5 to 10 %" if row["size"] < 0.1 else "10 to 15 %"
        plate = "on a plate" if row["plate"] else "without a plate"
        names = ("all", row["kind"], f"opacity {row['opacity']}", f"size {size}", plate, f"in {row['video']}")
        for name in names:
            counts[f"texts: {name}"] += one
    table: dict[str, object] = {name: _with_shares(dict(row)) for name, row in sorted(counts.items())}
    if areas:
        table["texts: area of boxes / of text"] = {"median": float(np.median(areas))}
    table |= {name: row for name, row in rows.items() if name.startswith("as it is")}
    return table | {"always": {"recall": 1.0, "false alarms": 1.0}, "never": {"recall": 0.0, "false alarms": 0.0}}


def _with_shares(row: dict) -> dict:
    if "planted" in row:
        row["recall"] = round(row["found"] / row["planted"], 4)
    if "seconds" in row:
        row["false alarms"] = round(row["seconds_left_out"] / row["seconds"], 5)
    return row


if __name__ == "__main__":
    main()
