"""Checkpoints of a training: written whole, the newest kept, a folder for each identity."""

import logging
import pickle
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lvdm.config import Config
from lvdm.files import publish, read_json, write_json
from lvdm.training.identity import Ingredients, differences, identity, ingredients

KEPT = 2
"""Checkpoints of a training that is not finished."""

KEPT_FINISHED = 2
"""Numbers of steps that a training was finished after, whose checkpoints and records stay."""

KEPT_RUNS = 3
"""Trainings whose states stay, the present one included."""

RECORD = "identity.json"
TABLES = ("metrics.csv", "quality.csv")
RECORDS = (*TABLES, "picture.png")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A training: where its states are kept, and what it is.

    ``root`` holds a folder for each of the last trainings with the same results, named by ``identity``, a fingerprint
    of all that decides the weights: configuration, data, code (``made_of``). So a training is never resumed with
    another's state, and is resumed with its own when a change was taken back. Its folder holds ``checkpoints/``,
    the tables, and in ``finished/{step}/`` the tables and the picture of each number of steps that it was ended at.
    """

    root: Path
    identity: str
    made_of: Ingredients = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path, config: Config, stage: str, inputs: Sequence[Path]) -> "Run":
        """The training that ``config``, the code of ``stage`` and the content of ``inputs`` make."""
        made_of = ingredients(config, stage, inputs)
        return cls(root, identity(made_of), made_of)

    @property
    def folder(self) -> Path:
        """Where this training's own files are."""
        return self.root / self.identity

    def claim(self) -> None:
        """Make the folder, and say what others there are; the present one counts as the newest from here on."""
        record = self.folder / RECORD
        if record.is_file():
            for unfinished in (self.folder / "checkpoints").glob(".*.part.pt"):  # of a killed run
                unfinished.unlink()
            for unfinished in (self.folder / "finished").glob(".*.part"):
                shutil.rmtree(unfinished)
        elif others := self._others():
            known = read_json(others[0] / RECORD)
            said = differences(known, self.made_of) if known and self.made_of else []
            _logger.warning(
                "%s has no state of this training; starting anew. The last one was another, whose states stay (%s)",
                self.root, "; ".join(said) or "configuration, data or code",
            )  # fmt: skip
        write_json(record, self.made_of)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after ``step`` updates; of those of unfinished trainings the last two stay.

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
        unfinished = [path for path in self._paths() if not self._finished(path.stem).is_dir()]
        for outdated in unfinished[:-KEPT]:
            outdated.unlink(missing_ok=True)

    def load(self, steps: int) -> dict[str, Any] | None:
        """The newest state that can be read after at most ``steps`` updates, on the CPU, with its ``step``; or None."""
        for path in reversed([path for path in self._paths() if int(path.stem) <= steps]):
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

    def is_finished(self, step: int) -> bool:
        """Whether a training of ``step`` steps was ended, its records with it."""
        return self._finished(step).is_dir()

    def record(self, name: str, step: int) -> Path:
        """A file of :data:`RECORDS` of the training that was finished after ``step`` steps."""
        return self._finished(step) / name

    def go_on(self, step: int) -> None:
        """Make the tables those of a training that is after ``step`` updates, and forget unfinished states after it."""
        if self.is_finished(step):
            for name in TABLES:
                _copy(self.record(name, step), self.folder / name)
        for path in self._paths():
            if int(path.stem) > step and not self.is_finished(int(path.stem)):
                path.unlink()

    def finish(self, step: int) -> None:
        """Keep the records of a training of ``step`` steps, and of its states those that it was finished with.

        Of these the ones that were wanted last stay, as do the last few trainings; what is removed is said.
        """
        with publish(self._finished(step)) as temporary:
            temporary.mkdir(parents=True)
            for name in RECORDS:
                shutil.copyfile(self.folder / name, temporary / name)
        self.keep(step)

    def keep(self, step: int) -> None:
        """Count the end after ``step`` steps as the newest, and remove what is not to stay."""
        self._finished(step).touch()
        for outdated in _newest_first((self.folder / "finished").iterdir())[KEPT_FINISHED:]:
            self._path(int(outdated.name)).unlink(missing_ok=True)
            shutil.rmtree(outdated)
        for path in self._paths():
            if int(path.stem) < step and not self.is_finished(int(path.stem)):
                path.unlink()
        others = self._others()
        kept = [folder for folder in others if any((folder / "checkpoints").glob("[0-9]*.pt"))][: KEPT_RUNS - 1]
        for outdated in others:
            if outdated not in kept:
                _logger.info("%s keeps the states of the last %d trainings: %s goes", self.root, KEPT_RUNS, outdated)
                shutil.rmtree(outdated)

    def _others(self) -> list[Path]:
        """The folders of other trainings, the last that was begun or taken up first."""
        records = _newest_first(path for path in self.root.glob(f"*/{RECORD}") if path.parent != self.folder)
        return [path.parent for path in records]

    def _path(self, step: int) -> Path:
        return self.folder / "checkpoints" / f"{step:09d}.pt"

    def _finished(self, step: int | str) -> Path:
        return self.folder / "finished" / f"{int(step):09d}"

    def _paths(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob("[0-9]*.pt"))


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted((path for path in paths if not path.name.startswith(".")), key=lambda path: -path.stat().st_mtime_ns)


def _copy(source: Path, target: Path) -> None:
    with publish(target) as temporary:
        shutil.copyfile(source, temporary)
