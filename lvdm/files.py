"""Publishing files whole: write under a temporary name, then rename.

What exists under its final name is complete, whatever killed the writer.
"""

import errno
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lvdm.config import NetworkFile

_BLOCK_BYTES = 2**20
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def publish(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` (same suffix); rename it to ``path`` on success.

    The temporary file or folder is removed when the block raises, so a full disk or an error leaves
    an earlier ``path`` untouched and nothing half-written. A full disk is an ``OSError`` that names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        yield temporary
        if temporary.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    except BaseException as error:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
            message = f"{error.strerror}; nothing was written, make room and run again"
            raise OSError(error.errno, message, str(path)) from error
        raise


def write_text(path: str | Path, text: str) -> None:
    """Publish ``text`` as UTF-8."""
    with publish(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Publish ``value`` as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The value in a JSON file; an error names the file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8; of brackets in brackets without an end
        raise ValueError(f"{path}: not valid JSON ({error}); delete it and run again") from None


def check_outputs(*files: Path | None, folders: Iterable[Path] = ()) -> None:
    """Make the folders of what a stage will write, so that it fails before its work and not after.

    ``folders`` are published whole. Raises ``OSError`` that names the path which cannot be written: a file is where
    its folder should be, or a folder where the file should be, or the other way round.
    """
    for path, is_folder in [*((path, False) for path in files if path), *((path, True) for path in folders)]:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.is_dir() != is_folder:
            there, wanted = ("file", "folder") if is_folder else ("folder", "file")
            message = (
                f"a {there} is in the place of the {wanted} that is to be written; remove it, or give another path"
            )
            raise OSError(errno.EEXIST, message, str(path))


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes; of a folder: of the names and bytes of its files, in sorted order."""
    path = Path(path)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path)}\0{content_hash(file)}\n".encode())
    return digest.hexdigest()


def verify(path: str | Path, file: NetworkFile) -> None:
    """Check a file against what ``file`` states of it, reading it block by block.

    Raises ``ValueError`` that names the file, what it is and what was wanted.
    """
    with _opened(path) as stream:
        _verify(path, file, iter(lambda: stream.read(_BLOCK_BYTES), b""), Path(path).stat().st_size)


def verified_bytes(path: str | Path, file: NetworkFile) -> bytes:
    """The content of a file, after it is found to be what ``file`` states.

    The bytes that were verified are the bytes returned: a file that changes in between is no risk.
    Raises ``ValueError`` as :func:`verify` does.
    """
    with _opened(path) as stream:
        content = stream.read()
    _verify(path, file, [content], len(content))
    return content


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    try:
        with Path(path).open("rb") as stream:
            yield stream
    except OSError as error:
        raise ValueError(f"{path}: the network's file cannot be read: {error.strerror}; check the path") from None


def _verify(path: str | Path, file: NetworkFile, blocks: Iterable[bytes], size: int) -> None:
    sha256, git_blob = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    for block in blocks:
        sha256.update(block)
        git_blob.update(block)
    found = {"sha256": sha256.hexdigest(), "git_blob": git_blob.hexdigest(), "size": size}
    stated = {key: getattr(file, key) for key in found if getattr(file, key) is not None}
    if not stated:
        raise ValueError(
            f"{path}: nothing says which file is the right one, so it is not used. It has "
            + ", ".join(f"{key} {value}" for key, value in found.items())
            + ": state one of these if you trust this file"
        )
    for key, wanted in stated.items():
        if found[key] != wanted:
            raise ValueError(
                f"{path} ({size} bytes) has the {key} {found[key]}, but {wanted} is wanted; it was not loaded. "
                f"Fetch it again, or correct `{key}` if you trust this file"
            )
