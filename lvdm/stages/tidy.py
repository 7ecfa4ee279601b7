"""List what lies in the results that the configuration does not plan, videos that were taken out, and remove it."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path

from lvdm.cluster.profile import read_profile
from lvdm.stages import inventory, planned
from lvdm.stages.doctor import read_pipeline
from lvdm.stages.inventory import Entry, Inventory
from lvdm.training import owner

_SNAKEMAKE = Path(".snakemake")
_UNITS = ("B", "kB", "MB", "GB", "TB")


def run(*, config: list[Path] = [], profile: Path | None = None, yes: bool = False) -> None:  # noqa: B006  not changed
    """List what lies in the results that the configuration does not plan, videos that were taken out, and remove it.

    Writes a line a file or folder: its size, its path, and why it is listed. Listed are the files that the
    configuration no longer plans, and those that still name a video which is not in its data set any more: logs, and
    records of Snakemake. With ``yes`` they are removed, if nothing runs. What the pipeline did not make is listed, and
    stays; so does what the next `snakemake all` makes anew: run that first. ``config`` and ``profile`` are those of
    stage doctor: the files that go to Snakemake's --configfile, and the folder that goes to its --profile.

    Raises ``ValueError`` when Snakemake cannot plan, and with ``yes`` when something runs, or when planned files still
    hold a video that was taken out.
    """
    settings = read_profile(profile) if profile is not None else None
    results = read_pipeline(config or (settings.configfiles if settings else [])).results
    plan = planned.ask(results, config, profile)
    if yes:
        _refuse_while_something_runs(results, _SNAKEMAKE)
    found = inventory.take(results, _SNAKEMAKE, plan)
    sys.stdout.writelines(f"{line}\n" for line in report(found, yes))
    sys.stdout.flush()
    if yes:
        remove(found.removable, (results, _SNAKEMAKE))
        if held := [*found.stale, *found.awaited]:
            raise ValueError(
                f"{held[0].path} and what else is listed as held may still hold what was taken out; run "
                "`snakemake all`, then this again"
            )


def report(found: Inventory, yes: bool) -> Iterator[str]:
    """The lines that a user reads."""
    yield from _section("Removing:" if yes else "Not planned, or names a video that was taken out:", found.removable)
    yield from _section("Held until `snakemake all` has made anew what follows from it:", found.awaited)
    yield from _section("Made anew by the next `snakemake all`; run it, then this again:", found.stale)
    yield from _section("Up to date, but names a video that was taken out; look at it:", found.odd)
    yield from _section("Not known, and never removed:", found.unknown)
    total, files = _size(sum(entry.size for entry in found.removable)), len(found.removable)
    if not files:
        yield "Nothing to remove."
    elif yes:
        yield f"{total} in {files} files."
    else:
        yield f"{total} in {files} files. Nothing was removed; `lvdm tidy --yes`, with the same options, removes them."


def remove(entries: Iterable[Entry], roots: tuple[Path, ...]) -> None:
    """Remove files, and the folders below ``roots`` that become empty. Killed, it can be run again."""
    for entry in sorted(entries, key=lambda entry: entry.turn):
        entry.path.unlink(missing_ok=True)
        for folder in entry.path.parents:
            if folder in roots or not any(root in folder.parents for root in roots):
                break
            try:
                folder.rmdir()
            except OSError:  # not empty
                break


def _refuse_while_something_runs(results: Path, snakemake: Path) -> None:
    """Raises ``ValueError`` while a Snakemake has the folder, or may have left jobs, and while a training runs."""
    if any(snakemake.glob("locks/*")):
        raise ValueError(
            f"{snakemake / 'locks'}: Snakemake runs in this folder; wait until it has ended. (Where none does, "
            "`snakemake --unlock` removes its lock.)"
        )
    if left := next(snakemake.glob("runs/[!.]*.json"), None):
        raise ValueError(
            f"{left}: a Snakemake starts here or was killed, and its jobs may be running; run `snakemake all` to its "
            "end, then this again"
        )
    for claim in results.glob(f"*/*/run/**/{owner.NAME}"):
        with suppress(FileNotFoundError):
            found = owner.Claim(claim.read_text(encoding="utf-8"), time.time() - claim.stat().st_mtime)
            if not found.gone:
                raise ValueError(f"{claim.parent} is in use by {found}; wait until the training has ended")


def _section(title: str, entries: list[Entry]) -> Iterator[str]:
    if entries:
        yield title
        for path, size, why in _folded(entries):
            yield f"  {_size(size):>9}  {path}  {why}"


def _folded(entries: list[Entry]) -> Iterator[tuple[str, int, str]]:
    """Path, size and reason; a line for a folder where all that is in it is listed for the same reason."""
    for why, listed in groupby(sorted(entries, key=lambda entry: (entry.why, entry.path)), key=lambda entry: entry.why):
        files = {entry.path: entry.size for entry in listed}
        below = Counter(folder for path in files for folder in path.parents)
        whole = {folder: count > 1 and count == _files_in(folder, count) for folder, count in below.items()}
        whole |= {_SNAKEMAKE / kind: True for kind in inventory.RECORDS}  # whose names tell a reader nothing
        highest = {path: next((folder for folder in [*path.parents][::-1] if whole[folder]), path) for path in files}
        for shown, paths in groupby(files, key=lambda path: highest[path]):
            sizes = [files[path] for path in paths]
            note = f"/ ({len(sizes)} files)" if whole.get(shown) else ""
            yield f"{shown}{note}", sum(sizes), why


def _files_in(folder: Path, most: int) -> int:
    """The number of files at any depth; counted no further than one more than ``most``."""
    found = (name for _, _, names in os.walk(folder) for name in names)
    return sum(1 for _ in islice(found, most + 1))


def _size(size: float) -> str:
    power = 0
    while size >= 1000 and power < len(_UNITS) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.1f} {_UNITS[power]}" if power else f"{size:.0f} B"
