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

from lvdm.data.ffmpeg_report import last_lines


class VideoError(ValueError):
    """A video that cannot be read or written; the message holds the end of ffmpeg's own."""


def encode(command: Sequence[str], target: Path, advance: Callable[[int], Any]) -> None:
    """Run ffmpeg from file to file; ``advance`` is told the frames written, as they are written.

    Raises :class:`VideoError` that names ``target`` when ffmpeg fails, ``OSError`` on a full disk.
    """
    command = [*command, "-progress", "pipe:1"]
    with _running(command, target, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        done = 0
        for line in process.stdout:
            key, _, value = line.decode().partition("=")
            if key == "frame":
                advance(int(value) - done)
                done = int(value)


def encode_frames(
    command: Sequence[str], target: Path, frames: Iterable[np.ndarray], advance: Callable[[int], Any]
) -> None:
    """As :func:`encode`, of ``frames``, each uint8 (H, W, 3), that ffmpeg reads raw from its input."""
    with _running(command, target, stdin=subprocess.PIPE) as process, suppress(BrokenPipeError):
        # A broken pipe means that ffmpeg has ended; why is in its messages.
        for frame in frames:
            process.stdin.write(np.ascontiguousarray(frame, np.uint8).data)
            advance(1)
        process.stdin.close()


def decode(command: Sequence[str], source: Path, height: int, width: int) -> Iterator[np.ndarray]:
    """The frames, uint8 (H, W, 3), that ffmpeg writes raw to its output."""
    size = height * width * 3
    with _running(command, source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        while len(data := process.stdout.read(size)) == size:
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)


def report(command: Sequence[str]) -> tuple[str, str]:
    """What ffmpeg writes to its output and to its messages, whether it succeeds or not."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, encoding="utf-8", errors="replace"
    )
    return done.stdout, done.stderr


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


def _failure(messages: str, subject: Path, code: int) -> Exception:
    if "No space left on device" in messages:
        return OSError(errno.ENOSPC, "the disk is full; free some space and run again", str(subject))
    how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
    return VideoError(f"{subject}: ffmpeg failed ({how}): {last_lines(messages)}")
