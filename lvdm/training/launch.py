"""The processes of a training on one node: started, watched, and ended together.

The process that launches does nothing else. So it can answer signals whatever the others wait for, none of them
outlives it, and its exit code is theirs.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

from torch.distributed import TCPStore

# Its process id, in the environment of those that it starts.
LAUNCHER = "LVDM_LAUNCHER"

_POLL_SECONDS = 0.1
# For the others to say what they know, when one has ended before its time.
_GRACE_SECONDS = 10.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

_logger = logging.getLogger(__name__)


def launch(count: int) -> int:
    """Run this very command in ``count`` processes of this machine, and return the exit code of all together.

    0 when each has finished; 75 when they were asked to stop (SIGTERM and SIGUSR1 are passed on) and can be started
    again; else 1. When one fails or is killed, the others are ended too. They find their number in the
    environment as LOCAL_RANK, and at MASTER_PORT a store to meet in, which lives as long as this call.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    asked: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    former = {number: signal.signal(number, receive) for number in _STOP_SIGNALS}
    children: list[subprocess.Popen] = []
    try:
        for rank in range(count):
            meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), LAUNCHER: str(os.getpid())}
            environment = {**os.environ, **meeting, "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
            children.append(subprocess.Popen([sys.executable, *sys.orig_argv[1:]], env=environment))
        codes = _watch(children, asked)
    finally:
        for child in children:
            child.kill()
            child.wait()
        for number, handler in former.items():
            signal.signal(number, handler)
    return _verdict(codes)


def end_with_launcher() -> None:
    """End this process, whatever it waits for, as soon as the one that launched it is gone."""
    launcher = int(os.environ[LAUNCHER])

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="launcher-watch", daemon=True).start()


def _watch(children: Sequence[subprocess.Popen], asked: list[int]) -> list[int]:
    """Wait until all have ended, and pass on the signals that come in; their exit codes."""
    deadline = None
    while None in (codes := [child.poll() for child in children]):
        while asked:
            number = asked.pop(0)
            for child in children:
                child.send_signal(number)
        if deadline is None and any(codes):
            deadline = time.monotonic() + _GRACE_SECONDS
            _report(codes)
        if deadline is not None and time.monotonic() > deadline:
            for child in children:
                child.kill()
        time.sleep(_POLL_SECONDS)
    return codes


def _report(codes: Sequence[int | None]) -> None:
    for rank, code in enumerate(codes):
        if code and not _stopped(code):
            how = f"was killed by signal {-code}" if code < 0 else f"failed (exit code {code})"
            _logger.error("process %d of %d %s; ending the others", rank + 1, len(codes), how)


def _stopped(code: int) -> bool:
    """Whether a process ended because it was asked to: by itself, or before it could listen."""
    return code == os.EX_TEMPFAIL or -code in _STOP_SIGNALS


def _verdict(codes: Sequence[int]) -> int:
    if not any(codes):
        return 0
    # Whoever ends so has saved, or has nothing to save; that others lost it meanwhile is no failure.
    return os.EX_TEMPFAIL if any(map(_stopped, codes)) else 1
