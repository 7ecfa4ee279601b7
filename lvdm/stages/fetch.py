"""Fetch the file of a network from the web, and check that it is the right one."""

import errno
import fcntl
import http.client
import logging
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lvdm import __version__
from lvdm.config import NetworkFile
from lvdm.files import check_outputs, verify
from lvdm.progress import Progress

ATTEMPTS = 5  # in a row that bring nothing
WAIT_SECONDS = 2.0  # before the second attempt; twice as long before each that follows
TIMEOUT_SECONDS = 60.0

_BLOCK_BYTES = 2**16
_MEGABYTE = 10**6
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
# Answers of a server that is busy or restarting; what it says otherwise does not change by asking again.
_BUSY = {408, 425, 429, 500, 502, 503, 504}
_BEYOND_THE_END = 416
_WEB_PAGE = re.compile(rb"\s*<(!doctype html|html|head)", re.IGNORECASE)
_BY_HAND = "or get the file by other means and give it as `path`"

_logger = logging.getLogger(__name__)


class _InterruptedTransfer(Exception):
    """The transfer stopped for a reason that may pass."""


def run(config: NetworkFile, *, file: Path) -> None:
    """Fetch the file of a network from the web, and check that it is the right one.

    Downloads ``config.url`` to a hidden file beside ``file`` and renames it when it is whole and is what the
    configuration states. A transfer that breaks off is taken up where it stopped, in this run or the next,
    where the server allows it. Without ``sha256``, ``git_blob`` or ``size`` the file is not published; the message
    says what they are, and the download is kept for the next run.

    Raises ``ValueError`` for another file than the wanted one, a web page in its place and an address with nothing
    behind it, ``ConnectionError`` when the server cannot be reached, and ``OSError`` when the disk is full.
    """
    if config.url is None:
        raise ValueError(f"{config.path} is a file already: use it, or give a `url` to fetch one from")
    check_outputs(file)
    if file.is_file() and _is_right(file, config):
        _logger.info("%s is there already", file)
        return
    partial = file.with_name(f".{file.name}.download")
    try:
        with _opened_alone(partial) as stream:
            _download_right(config, partial, stream)
            partial.replace(file)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        message = f"{error.strerror}; what was fetched is kept in {partial}: make room and run again"
        raise OSError(error.errno, message, str(file)) from error
    _logger.info("%s: %d bytes from %s", file, file.stat().st_size, config.url)


@contextmanager
def _opened_alone(path: Path) -> Iterator[BinaryIO]:
    """``path``, opened at its end for writing by this process only; it is removed if nothing is in it afterwards."""
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{path} is being written by another process; run again when that has ended") from None
        except OSError:
            _logger.warning("%s: its file system has no locks; do not fetch the same file twice at a time", path)
        try:
            yield stream
        finally:
            if stream.tell() == 0:
                path.unlink(missing_ok=True)


def _download_right(config: NetworkFile, partial: Path, stream: BinaryIO) -> None:
    """Complete ``stream``, the open file ``partial``, and check it; a wrong file is removed."""
    resumed = stream.tell() > 0
    _download(config.url, stream)
    if resumed and config.verifiable and not _is_right(partial, config):
        _logger.warning("%s: what an earlier run left does not belong to it; from the start again", config.url)
        _empty(stream)
        _download(config.url, stream)
    try:
        verify(partial, config)
    except ValueError as error:
        if config.verifiable:
            partial.unlink()
        raise ValueError(f"{config.url} was not accepted: {error}") from None


def _is_right(path: Path, config: NetworkFile) -> bool:
    try:
        verify(path, config)
    except ValueError:
        return False
    return True


def _download(url: str, stream: BinaryIO) -> None:
    """Append to ``stream`` what it lacks of the file at ``url``, in several transfers if need be."""
    failures = 0
    while True:
        before = stream.tell()
        try:
            _transfer(url, stream)
            stream.flush()
            return
        except _InterruptedTransfer as error:
            failures = 1 if stream.tell() > before else failures + 1
            if failures == ATTEMPTS:
                message = f"{url} cannot be fetched ({error}); check the network and `url` and run again, {_BY_HAND}"
                raise ConnectionError(message) from None
            _logger.warning("%s: %s; trying again", url, error)
            time.sleep(WAIT_SECONDS * 2 ** (failures - 1))


def _transfer(url: str, stream: BinaryIO) -> None:
    response = _request(url, stream)
    if response is None:
        return
    with response:
        if response.headers.get_content_type() == "text/html":
            raise _web_page(url)
        done = stream.tell()
        length = response.headers["Content-Length"]
        total = None if length is None else done + int(length)
        if total is not None and total - done > shutil.disk_usage(Path(stream.name).parent).free:
            raise OSError(errno.ENOSPC, f"No space left on device for {total} bytes")
        name = url.partition("?")[0].rpartition("/")[2]
        with Progress(f"fetch {name}", total and total // _MEGABYTE, "MB", done // _MEGABYTE) as progress:
            for block in _blocks(response):
                if stream.tell() == 0 and _WEB_PAGE.match(block):
                    raise _web_page(url)
                stream.write(block)
                progress.advance(stream.tell() // _MEGABYTE - progress.done)
    if total is not None and stream.tell() < total:
        raise _InterruptedTransfer(f"the connection ended after {stream.tell()} of {total} bytes")


def _request(url: str, stream: BinaryIO) -> http.client.HTTPResponse | None:
    """The answer whose body continues ``stream``, which is emptied where the server only sends whole files.

    None when ``stream`` holds the whole file.
    """
    done = stream.tell()
    headers = {"User-Agent": f"lvdm/{__version__}", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == _BEYOND_THE_END and error.headers["Content-Range"] == f"bytes */{done}":
                return None
            answer = f"the server answers {error.code} {error.reason}"
        if error.code == _BEYOND_THE_END:
            _empty(stream)
        elif error.code not in _BUSY:
            raise ValueError(f"{url}: {answer}; correct `url`, {_BY_HAND}") from None
        raise _InterruptedTransfer(answer) from None
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedTransfer(str(getattr(error, "reason", error))) from None
    continues = response.status == 206 and (response.headers["Content-Range"] or "").startswith(f"bytes {done}-")
    if not continues:
        _empty(stream)
    return response


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while block := response.read(_BLOCK_BYTES):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedTransfer(str(error) or type(error).__name__) from None


def _empty(stream: BinaryIO) -> None:
    stream.seek(0)
    stream.truncate()


def _web_page(url: str) -> ValueError:
    return ValueError(
        f"{url} gives a web page, not a file (a page to log in, to agree or to choose?); give the `url` that "
        f"the download itself has, {_BY_HAND}"
    )
