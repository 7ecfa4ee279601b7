"""Running ffmpeg: its failures become errors that say why, and it never outlives its caller's block."""

import errno
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

# What ffmpeg says after the cause of a failure.
_ECHOES = ("Task finished", "Terminating thread", "Nothing was written", "Conversion failed", "Error sending frames")


class VideoError(ValueError):
    """A video that cannot be read or written; the message holds the end of ffmpeg's own."""


def encode_frames(
    command: Sequence[str], target: Path, frames: Iterable[np.ndarray], advance: Callable[[int], Any]
) -> None:
    """Run ffmpeg on ``frames``, each uint8 (H, W, 3), that it reads raw from its input; ``advance`` is told of each.

    Raises :class:`VideoError` that names ``target`` when ffmpeg fails, ``OSError`` on a full disk.
    """
    with _running(command, target, stdin=subprocess.PIPE) as process, suppress(BrokenPipeError):
        # A broken pipe means that ffmpeg has ended; why is in its messages.
        for frame in frames:
            process.stdin.write(np.ascontiguousarray(frame, np.uint8).data)
            advance(1)
        process.stdin.close()


@contextmanager
def _running(command: Sequence[str], subject: Path, **pipes: Any) -> Iterator[subprocess.Popen]:
    # Messages go to a file: a pipe that no one empties would stop the process when it is full.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as messages:
        process = subprocess.Popen(command, stderr=messages, **pipes)
        try:
            yield process
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with suppress(BrokenPipeError):
                        pipe.close()
        if code:
            messages.seek(0)
            raise _failure(messages.read(), subject, code)


def _last_lines(messages: str, count: int = 4) -> str:
    """The end of ffmpeg's messages, less the echoes of what went wrong before, on one line."""
    lines = [line.strip() for line in messages.splitlines()]
    # A line opens with what spoke: "[libx264 @ 0x55d0] ".
    said = [line.rpartition("] ")[2] if line.startswith("[") else line for line in lines]
    return "; ".join([line for line in said if line and not line.startswith(_ECHOES)][-count:]) or "no message"


def _failure(messages: str, subject: Path, code: int) -> Exception:
    if "No space left on device" in messages:
        return OSError(errno.ENOSPC, "the disk is full; free some space and run again", str(subject))
    how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
    return VideoError(f"{subject}: ffmpeg failed ({how}): {_last_lines(messages)}")
