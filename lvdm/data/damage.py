"""Damage that a decoder does not tell: checksums it passes over, and frames before the one that it finds damaged."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

D = TypeVar("D", bound=Any)

# A run of B frames is not longer than the pictures that H.264 and HEVC hold for reference.
_LONGEST_RUN = 16

# Of an FFV1 slice: its size in 3 bytes, whether it has errors, and a checksum in 4 (RFC 9043, 4.9).
_FOOTER = 8
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_B = 3


def with_hindsight(frames: Iterable[D]) -> Iterator[D]:
    """The same frames, in the order in which they are shown; B frames right before a damaged frame count as damaged.

    A B frame is decoded after, and predicted from, a frame that is shown later, so damage of that one is in it too.
    """
    held: list[D] = []
    for decoded in frames:
        if decoded.damaged:
            held = [replace(before, damaged=True) for before in held]
        held.append(decoded)
        if decoded.frame.pict_type != _B or len(held) > _LONGEST_RUN:
            yield from held
            held = []
    yield from held


class Checksums:
    """Checksums of the slices of FFV1: each packet is a frame, and a slice with its own checksum comes to 0."""

    def __init__(self) -> None:
        self._present = False

    def hold(self, packet: memoryview) -> bool:
        """Whether they are those of the packet. Until footers with a checksum were seen, there may be none to hold."""
        slices = _slices(packet)
        self._present |= bool(slices)
        return not self._present or (bool(slices) and all(map(_comes_to_zero, slices)))


def _slices(packet: memoryview) -> list[memoryview]:
    """The slices, each with its footer, the last one first; none where their sizes do not make up the packet."""
    end, slices = len(packet), []
    while end:
        start = end - _FOOTER - int.from_bytes(packet[max(end - _FOOTER, 0) : end][:3])
        if start < 0:
            return []
        slices.append(packet[start:end])
        end = start
    return slices


def _comes_to_zero(part: memoryview) -> bool:
    # CRC-32 with the highest bit first and 0 at the start; zlib's has the lowest first and inverts start and end.
    return zlib.crc32(bytes(part).translate(_MIRRORED), 0xFFFFFFFF) == 0xFFFFFFFF
