"""What of an inspected recording is used: pieces, what is left out and why, the rate, whether there is a clip in it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from lvdm.data import content, pieces
from lvdm.data.config import CuttingConfig
from lvdm.data.crops import Picture
from lvdm.data.evidence import Size
from lvdm.data.inspection import Inspection
from lvdm.data.pieces import Piece

_DAMAGED, _OUTSIDE, _SHORT = "damaged", "smaller than data.crop.box", "in a piece shorter than a clip"


@dataclass(frozen=True)
class Cutting:
    """Every frame that decoded is in one of ``pieces``, or counted in ``left_out`` by the reason."""

    pieces: tuple[Piece, ...]
    lengths: tuple[int, ...]
    """Frames of each piece after extraction."""
    left_out: dict[str, int]
    rate: float
    """Frames/s after extraction."""
    resampled: bool
    reason: str = ""
    """Why the recording cannot be used; empty when it can."""

    @property
    def kept(self) -> int:
        """Frames of the recording that are used."""
        return sum(piece.frames for piece in self.pieces)


def cut(found: Inspection, pictures: dict[Size, Picture], config: CuttingConfig) -> Cutting:
    """Decide on a recording, from its inspection and the crops of its group."""
    if found.error:
        return Cutting((), (), {}, 0.0, False, found.error)
    why = _reasons(found, config)
    why[~_fits(found, pictures) & (why == "")] = _OUTSIDE
    longest = None if found.nominal_rate else config.gap
    parts = pieces.cut(found.times, found.changes, why == "", longest)
    rate, resampled = _rate(found, config.clip.fps)
    lengths = pieces.extracted_lengths(found.times, parts, rate if resampled else None)
    long_enough = [length >= config.clip.span for length in lengths]
    for piece, is_long in zip(parts, long_enough, strict=True):
        if not is_long:
            why[piece.first : piece.stop] = _SHORT
    reason = (_damage(found) if config.on_bad_video == "strict" else "") or _texts(found, pictures, config)
    if not reason and not any(long_enough):
        reason = _no_clip(found, max(lengths, default=0), why, config)
    counts = {str(name): count for name, count in sorted(Counter(why[why != ""].tolist()).items())}
    used = [number for number, is_long in enumerate(long_enough) if is_long] if not reason else []
    return Cutting(
        tuple(parts[number] for number in used),
        tuple(lengths[number] for number in used),
        counts,
        rate,
        resampled,
        reason,
    )


def _reasons(found: Inspection, config: CuttingConfig) -> np.ndarray:
    """(T,) why each frame is left out; empty where it is not."""
    names = np.array([*content.REASONS, _DAMAGED], dtype=f"<U{len(_SHORT)}")
    codes = content.left_out(found.measures, found.times, config.cut).astype(int)
    codes[found.damaged] = len(content.REASONS)
    return names[codes]


def _fits(found: Inspection, pictures: dict[Size, Picture]) -> np.ndarray:
    """(T,) whether there is a crop for the size of a frame; for one that only damaged frames have, there is none."""
    sizes = [format.upright for format in found.formats]
    return np.array([size in pictures and pictures[size].box is not None for size in sizes])[found.format_of]


def _texts(found: Inspection, pictures: dict[Size, Picture], config: CuttingConfig) -> str:
    texts = pictures[found.usual_size].texts if found.usual_size in pictures else ()
    if config.overlay == "leave-out" and texts:
        return f"has burned-in texts at {', '.join(str(list(box)) for box in texts)}, and data.overlay is leave-out"
    return ""


def _rate(found: Inspection, fps: float | None) -> tuple[float, bool]:
    """Frames/s after extraction, and whether frames are repeated or left out for it."""
    rate = pieces.usual_rate(found.times)
    if fps is None or found.nominal_rate:
        return fps or rate or 1.0, False
    return fps, pieces.varies(found.times) or abs(rate - fps) > 1e-3 * fps


def _damage(found: Inspection) -> str:
    if found.lost or found.damaged.any():
        count = int(found.damaged.sum())
        said = "; ".join([*found.lost, *([f"{count} frames are damaged"] if count else [])])
        return f"is damaged, and data.on_bad_video is strict: {said}"
    return ""


def _no_clip(found: Inspection, longest: int, why: np.ndarray, config: CuttingConfig) -> str:
    rate = f" at {config.clip.fps:g} frames/s" if config.clip.fps else ""
    said = f"has {found.frames} frames"
    left_out = Counter(name for name in why.tolist() if name not in ("", _SHORT))
    if left_out:
        said += f", of which {', '.join(f'{count} are {name}' for name, count in left_out.most_common())},"
    if longest != found.frames or rate:
        said += f" and the longest piece without a break {longest}{rate}"
    lost = f" ({'; '.join(found.lost)})" if found.lost else ""
    return f"{said}, but a clip spans {config.clip.span}; lower data.length or data.stride{lost}"
