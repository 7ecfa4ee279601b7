"""Which side of the split, and which shard, each video belongs to.

Pure functions of names. A split follows from the name of a group and a shard from that of a video, so that a video
that is added moves no other.
"""

from collections.abc import Iterable, Mapping, Sequence

from lvdm.data.catalog import name_hash
from lvdm.data.config import SplitConfig

TRAIN, HELDOUT = "train", "heldout"


def split_videos(
    ids: Iterable[str],
    heldout: float | Sequence[str],
    keys: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """``train`` or ``heldout`` for each video; videos of one group are on one side.

    ``keys`` gives what stands for the group of a video; without it each is a group of its own. ``heldout``
    is a list of what is held out, or a share: a group is held out when the hash of its key, a number in
    [0, 1), is below it. With a share above 0 and at least two groups, one is on each side in any case:
    where the hashes leave a side empty, the group of the lowest hash is held out, or that of the highest is
    trained on. This is the only way in which one group can depend on the others. A single group is trained
    on. A list may name videos, which hold out their whole groups, and whatever else ``names`` has a key
    for: groups by their labels, and copies that are left out.

    Raises ``ValueError`` when the list names what is not there, or all groups.
    """
    key = {id: keys[id] if keys else id for id in sorted(set(ids))}
    if isinstance(heldout, int | float):
        chosen = _chosen(set(key.values()), heldout)
    else:
        chosen = _named(key, heldout, names or {})
    return {id: HELDOUT if key[id] in chosen else TRAIN for id in key}


def shard_of(id: str, shards: int) -> int:
    """The index of the shard, in ``range(shards)``, that holds a video's frames."""
    return name_hash("shard", id) % shards


def shard_members(sides: Mapping[str, str], split: SplitConfig) -> dict[tuple[str, int], list[str]]:
    """The sorted identifiers in each (split, shard index), for every shard, also the empty ones.

    ``sides`` is the split of each video, as :func:`split_videos` tells it.
    """
    counts = {TRAIN: split.train_shards, HELDOUT: split.heldout_shards}
    members: dict[tuple[str, int], list[str]] = {(name, i): [] for name, count in counts.items() for i in range(count)}
    for id in sorted(sides):
        members[sides[id], shard_of(id, counts[sides[id]])].append(id)
    return members


def _chosen(keys: set[str], share: float) -> set[str]:
    """The groups that a share holds out."""
    rank = {key: (_unit_hash("split", key), key) for key in keys}
    chosen = {key for key in keys if rank[key][0] < share}
    if share > 0 and len(keys) > 1:
        chosen = chosen or {min(keys, key=rank.get)}
        return chosen if chosen != keys else chosen - {max(keys, key=rank.get)}
    return chosen if len(keys) > 1 else set()


def _named(key: Mapping[str, str], heldout: Sequence[str], names: Mapping[str, str]) -> set[str]:
    """The groups that a list holds out. A name that is both a video and another group stands for both."""
    unknown = sorted(set(heldout) - set(key) - set(names))
    if unknown:
        known = sorted(key)
        raise ValueError(
            f"split.heldout names {', '.join(unknown)}, but no video or group has that name; there are "
            f"{', '.join(known[:20])}" + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        )
    chosen = {there[name] for name in heldout for there in (key, names) if name in there}
    if key and chosen >= set(key.values()):
        raise ValueError("split.heldout names every video, which leaves none to train on; take some out")
    return chosen


def _unit_hash(purpose: str, name: str) -> float:
    """A number in [0, 1)."""
    return (name_hash(purpose, name) >> 203) / 2**53
