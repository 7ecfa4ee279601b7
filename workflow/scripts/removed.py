"""Videos that were taken out of a data set: known from the shards, which say whose frames they hold.

The records beside the shards of the plan are few and small (a line for each video), and tell what the last run used.
Nothing here knows Snakemake.
"""

from pathlib import Path

from scripts.plan import Dataset

from lvdm.files import read_json

_NAMED = 5  # videos that a message names


def date_back(dataset: Dataset, results: Path) -> None:
    """Make each planned shard that holds a video which is not to be in it older than one of its inputs.

    Snakemake finds nearly all by its record of their inputs; but records can be lost, and then only times count. An
    input is touched in place of the shard, because what follows from a shard is compared with its time, too.
    """
    folder = results / dataset.name
    held, members = _held(dataset, folder / "shards"), _members(dataset)
    for shard in (shard for shard in held if held[shard] - members[shard]):
        records = [folder / "frames" / f"{video}.json" for video in sorted(members[shard])]
        inputs = [path for path in (*records, folder / "config" / "shard.json") if path.is_file()]
        made = (folder / "shards" / f"{shard}.npy").stat().st_mtime_ns
        if inputs and all(path.stat().st_mtime_ns <= made for path in inputs):
            inputs[0].touch()


def too_many(dataset: Dataset, results: Path) -> str | None:
    """The question whether a disk is missing, where more than a tenth of the videos that the shards hold are gone.

    A single one is no sign of a disk that is not mounted, however few there are.
    """
    held = set().union(*_held(dataset, results / dataset.name / "shards").values())
    gone = sorted(held - set(dataset.videos))
    if len(gone) < 2 or 10 * len(gone) <= len(held):
        return None
    names = ", ".join(gone[:_NAMED]) + (f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else "")
    return (
        f"data set {dataset.name}: {len(gone)} of the {len(held)} videos that the last run used are gone: {names}. Is "
        "the disk that they are on mounted? If they are to be left out, say so for one run: add "
        "`--config fewer_videos=true` at the end of the command"
    )


def _members(dataset: Dataset) -> dict[str, set[str]]:
    """The identifiers that each planned shard is to hold, at most."""
    return {f"{split}-{index:03}": set(ids) for (split, index), ids in dataset.members.items()}


def _held(dataset: Dataset, folder: Path) -> dict[str, set[str]]:
    """The identifiers that each planned shard holds; of one that is not there, or cannot be read, none."""
    held = {}
    for shard in _members(dataset):
        try:
            held[shard] = {video["id"] for video in read_json(folder / f"{shard}.json")["videos"]}
        except (OSError, ValueError, KeyError, TypeError):  # it is made again, or the stages that read it tell
            held[shard] = set()
    return held
