"""Fetching files from a local server: whole and verified, or not at all and with a reason."""

import errno
import hashlib
import shutil
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from lvdm.config import NetworkFile
from lvdm.stages import fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server does, and what it was asked for."""

    url: str = ""
    content: bytes = CONTENT
    kind: str = "application/octet-stream"
    ranges: bool = True
    breaks_after: list[int] = field(default_factory=list)  # bytes sent until the connection ends, an item a request
    answers: list[int] = field(default_factory=list)  # status codes, an item a request, before it serves
    asked: list[str | None] = field(default_factory=list)  # the Range of each request


@pytest.fixture
def server(monkeypatch):
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.headers["Range"])
            if state.answers:
                self.send_error(state.answers.pop(0))
                return
            first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if state.asked[-1] else 0
            if not state.ranges:
                first = 0
            if first >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.end_headers()
                return
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Type", state.kind)
            self.send_header("Content-Length", str(len(state.content) - first))
            self.end_headers()
            last = first + state.breaks_after.pop(0) if state.breaks_after else None
            self.wfile.write(state.content[first:last])

        def log_message(self, *_):
            """Keeps the output of the tests clean."""

    monkeypatch.setattr(fetch, "WAIT_SECONDS", 0.001)
    monkeypatch.setattr(fetch, "TIMEOUT_SECONDS", 5.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{httpd.server_port}/files/i3d.pt?dl=1"
        yield state
        httpd.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "i3d.pt"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_whole_and_once(server, target):
    config = NetworkFile(url=server.url, sha256=SHA256, size=len(CONTENT))
    fetch.run(config, file=target)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["i3d.pt"]
    fetch.run(config, file=target)
    assert server.asked == [None]


def test_a_broken_file_of_before_is_replaced(server, target):
    target.parent.mkdir()
    target.write_bytes(CONTENT[:1000])
    fetch.run(NetworkFile(url=server.url, sha256=SHA256), file=target)
    assert target.read_bytes() == CONTENT


def test_a_transfer_that_breaks_off_is_taken_up_where_it_stopped(server, target):
    server.breaks_after = [100_000, 0, 50_000]
    fetch.run(NetworkFile(url=server.url, sha256=SHA256), file=target)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=100000-", "bytes=150000-"]


def test_without_ranges_it_starts_again(server, target):
    server.ranges, server.breaks_after = False, [100_000]
    fetch.run(NetworkFile(url=server.url, sha256=SHA256), file=target)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_later_run_takes_up_what_an_earlier_one_left(server, target):
    server.breaks_after = [100_000] + [0] * fetch.ATTEMPTS
    config = NetworkFile(url=server.url, sha256=SHA256)
    with pytest.raises(ConnectionError, match="ended after 100000 of 300000 bytes"):
        fetch.run(config, file=target)
    assert not target.exists()
    server.asked.clear()
    fetch.run(config, file=target)
    assert target.read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=100000-"


@pytest.mark.parametrize("left", [b"of another file", CONTENT + b"more"])
def test_what_an_earlier_run_left_of_another_file_is_dropped(server, target, left):
    target.parent.mkdir()
    target.with_name(".i3d.pt.download").write_bytes(left)
    fetch.run(NetworkFile(url=server.url, sha256=SHA256), file=target)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["i3d.pt"]


@pytest.mark.parametrize("key", ["sha256", "git_blob", "size"])
def test_another_file_is_refused(server, target, key):
    wrong = {"sha256": "0" * 64, "git_blob": "0" * 40, "size": 299_999}
    with pytest.raises(ValueError, match=rf"{server.url[:20]}.* not accepted.*{key} .* but {wrong[key]} is wanted"):
        fetch.run(NetworkFile(url=server.url, **{key: wrong[key]}), file=target)
    assert names(target.parent) == []


def test_without_a_checksum_the_message_says_which_it_has(server, target):
    with pytest.raises(ValueError, match=f"sha256 {SHA256}, git_blob [0-9a-f]{{40}}, size 300000"):
        fetch.run(NetworkFile(url=server.url), file=target)
    assert not target.exists()
    fetch.run(NetworkFile(url=server.url, sha256=SHA256), file=target)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"], "the file was there already"


def test_nothing_behind_the_address(server, target):
    server.answers = [404]
    with pytest.raises(ValueError, match=r"i3d\.pt.*answers 404 Not Found.*`path`"):
        fetch.run(NetworkFile(url=server.url, sha256=SHA256), file=target)
    assert len(server.asked) == 1
    assert names(target.parent) == []


def test_a_busy_server_is_asked_again(server, target):
    server.answers = [503, 429]
    fetch.run(NetworkFile(url=server.url, sha256=SHA256), file=target)
    assert target.read_bytes() == CONTENT


def test_no_server(server, target):
    config = NetworkFile(url="http://127.0.0.1:1/i3d.pt", sha256=SHA256)
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1.*cannot be fetched.*refused.*check the network"):
        fetch.run(config, file=target)


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_in_place_of_the_file(server, target, kind):
    server.kind, server.content = kind, b"\n<!DOCTYPE html><html><title>Download anyway?</title></html>"
    with pytest.raises(ValueError, match="gives a web page, not a file"):
        fetch.run(NetworkFile(url=server.url, size=len(server.content)), file=target)
    assert not target.exists()


def test_a_disk_that_is_too_small(server, target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"No space left.*make room and run again.*i3d\.pt") as caught:
        fetch.run(NetworkFile(url=server.url, sha256=SHA256), file=target)
    assert caught.value.errno == errno.ENOSPC
    assert not target.exists()


def test_two_at_a_time(server, target):
    target.parent.mkdir()
    with (
        fetch._opened_alone(target.with_name(".i3d.pt.download")),
        pytest.raises(ValueError, match="written by another process"),
    ):
        fetch.run(NetworkFile(url=server.url, sha256=SHA256), file=target)


def test_a_path_is_not_fetched(target, tmp_path):
    with pytest.raises(ValueError, match="is a file already"):
        fetch.run(NetworkFile(path=tmp_path / "i3d.pt", sha256=SHA256), file=target)
