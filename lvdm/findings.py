"""What a check before a run found, a line each."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["OK", "WARNING", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: FAIL means that a run would fail, and ``message`` what to change."""

    level: Level
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.level:<8} {self.subject}: {self.message}"


def ok(subject: str, message: str) -> Finding:
    """Nothing to change."""
    return Finding("OK", subject, message)


def warning(subject: str, message: str) -> Finding:
    """A run may go through, but a person should know."""
    return Finding("WARNING", subject, message)


def fail(subject: str, message: str) -> Finding:
    """A run would fail."""
    return Finding("FAIL", subject, message)
