"""Checkpoints of a training run: written whole, the last two kept, never those of another run."""

import hashlib
import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lvdm.config import Config
from lvdm.files import content_hash, publish, write_text
from lvdm.provenance import code_stamp
from lvdm.training import owner

KEPT = 2

# Where a run is computed may change from one attempt to the next.
_NOT_PART_OF_IDENTITY = {"compute"}

_logger = logging.getLogger(__name__)


def identity(config: Config, stage: str, inputs: Sequence[Path]) -> str:
    """16 hexadecimal digits of all that decides the result of a training.

    That is ``config`` (but for ``compute``), the code of the module ``stage`` (``lvdm.stages...``), and the
    content of the input files, and of the ``.json`` beside each where there is one, in their order.
    """
    parts = [config.model_dump_json(exclude=_NOT_PART_OF_IDENTITY), code_stamp(stage)]
    for path in inputs:
        files = dict.fromkeys([path, path.with_suffix(".json")])
        parts += [content_hash(file) for file in files if file.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """A training run: the folder of its state, and what it is a run of.

    ``identity`` is a fingerprint of all that decides the result: configuration, data, code. A file in the
    folder records it, so that a run is never resumed with another's state.
    """

    folder: Path
    identity: str

    def claim(self) -> None:
        """Make the folder this run's. What another run left there is moved to ``folder/old-<its identity>``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / "identity"
        found = record.read_text(encoding="utf-8").strip() if record.is_file() else "unknown"
        if found == self.identity:
            for unfinished in (self.folder / "checkpoints").glob(".*.part.pt"):  # of a killed run
                unfinished.unlink()
            return
        kept = ("old-", owner.NAME, ".")  # whoever claims a folder owns it; hidden files come and go
        left = [path for path in sorted(self.folder.iterdir()) if not path.name.startswith(kept)]
        if left:
            self._move_aside(left, found)
        write_text(record, self.identity + "\n")

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after ``step`` updates and drop all but the last two checkpoints.

        Raises ``OSError`` when it cannot be written; the checkpoints before it are untouched.
        """
        path = self._path(step)
        try:
            with publish(path) as temporary:
                torch.save({"step": step, **state}, temporary)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            raise OSError(
                f"{path}: the checkpoint cannot be written ({error}); make room and run again: "
                f"training resumes from the one before"
            ) from error
        for outdated in self._paths()[:-KEPT]:
            outdated.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """The newest state that can be read, with its ``step``, on the CPU; None when there is none."""
        for path in reversed(self._paths()):
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
                _logger.info("resuming from %s", path)
                return state
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
                _logger.warning("%s cannot be read (%s); going back to the checkpoint before it", path, error)
                path.unlink(missing_ok=True)
        return None

    def load_step(self, step: int) -> dict[str, Any]:
        """The state after ``step`` updates, on the CPU; an error when it cannot be read."""
        return torch.load(self._path(step), map_location="cpu", weights_only=True)

    def _path(self, step: int) -> Path:
        return self.folder / "checkpoints" / f"{step:09d}.pt"

    def _paths(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob("[0-9]*.pt"))

    def _move_aside(self, left: list[Path], found: str) -> None:
        aside = self.folder / f"old-{found}"
        number = 1
        while aside.exists():
            number += 1
            aside = self.folder / f"old-{found}-{number}"
        aside.mkdir()
        # The record goes last: until then the folder says whose it was.
        for path in sorted(left, key=lambda path: path.name == "identity"):
            path.rename(aside / path.name)
        _logger.warning(
            "%s held a training of another configuration, data or code; starting anew. The old one is kept in %s; "
            "delete it when it is not needed",
            self.folder,
            aside,
        )
