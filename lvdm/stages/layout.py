"""The files that the pipeline makes below the folder of the results, by pattern: what each path says of itself.

Which of them a configuration plans is Snakemake's to say (``lvdm.stages.planned``). This table only tells files of the
pipeline from those of others, and whose they are. A stage that writes another kind of file adds its pattern here.
"""

import re
from dataclasses import dataclass

_NAME = r"[A-Za-z0-9][A-Za-z0-9_+.-]*"
_FIELDS = {
    "dataset": _NAME,
    "stage": r"[a-z-]+(?:\.[A-Za-z0-9_+.@-]+)?",
    "video": r"[A-Za-z0-9_-]+",
    "group": r"[A-Za-z0-9_-]+",
    "shard": r"(?:train|heldout)-\d{3}",
    "section": "autoencoder|diffusion",
    "training": "[0-9a-f]{16}",
    "chunk": r"\d{4}",
    "protocol": _NAME,
    "detector": _NAME,
    "model": _NAME,
    "rest": ".+",
    "suffix": r"[a-z0-9]+",
}

# Below the folder of a data set.
_OF_A_DATASET = (
    "config/{stage}.json",
    "contents.json",
    "listing.csv",
    "manifest.csv",
    "inspections/{video}.{suffix}",
    "crops/{group}.json",
    "frames/{video}.{suffix}",
    "shards/{shard}.{suffix}",
    "latents/{shard}.{suffix}",
    "latents/statistics.json",
    "{section}/weights.{suffix}",
    "{section}/curve.csv",
    "{section}/quality.csv",
    "{section}/reconstructions.png",
    "{section}/samples.png",
    "{section}/run/old-{rest}",
    "{section}/run/{training}/{rest}",
    "{section}/run/{rest}",
    "samples/{model}/{chunk}.npy",
    "previews/{model}/{rest}",
    "external/{model}.npy",
    "features/.parts/{detector}/{rest}",
    "features/{protocol}/{detector}/{model}.npz",
    "scores/{protocol}/{detector}/{model}.csv",
    "curves/{protocol}/{detector}/{model}.csv",
    "memorisation/{protocol}/{detector}/{model}.{suffix}",
    "memorisation/{protocol}/{detector}/{model}/pairs/{rest}",
)

# Of all data sets. Logs and files of benchmarks have the same names, but for the folder and the suffix.
_OF_ALL = (
    ".secret",
    "tables/{dataset}.{suffix}",
    "report/config/{stage}.json",
    "report/cost.csv",
    "report/index.html",
    "report/media/{rest}",
    "logs/report/{rest}",
    "logs/fetch/{rest}",
    *(
        f"{folder}/{{dataset}}/{rest}"
        for folder in ("logs", "benchmarks")
        for rest in ("extract/{video}.{suffix}", "inspect/{video}.{suffix}", "crop/{group}.{suffix}", "{rest}")
    ),
)

# Outlives a killed job: publishing by rename writes here first. The name that it would have got is around it.
_TEMPORARY = re.compile(r"^(?P<folder>(?:.*/)?)\.(?P<stem>[^/]+)\.[0-9a-f]{8}\.part(?P<suffix>(?:\.[^/.]+)?)$")


@dataclass(frozen=True)
class Made:
    """A file of the pipeline."""

    pattern: str
    fields: dict[str, str]
    """The names in its path: ``dataset``, ``video``, ..."""
    temporary: bool = False
    """Whether a killed job left it half-written."""

    @property
    def dataset(self) -> str | None:
        """The data set that it is of; none where it is of all."""
        return self.fields.get("dataset")


def recognise(path: str) -> Made | None:
    """What a path below the results (with slashes) says of itself; None of a file that is not the pipeline's."""
    if found := _TEMPORARY.match(path):
        # A training's state is known by its place alone.
        made = recognise(f"{found['folder']}{found['stem']}{found['suffix']}")
        return made and Made(made.pattern, made.fields, temporary=True)
    for pattern, expression in _EXPRESSIONS:
        if match := expression.fullmatch(path):
            return Made(pattern, match.groupdict())
    return None


def _expression(pattern: str) -> re.Pattern:
    parts = re.split(r"\{(\w+)\}", pattern)
    text = [f"(?P<{part}>{_FIELDS[part]})" if number % 2 else re.escape(part) for number, part in enumerate(parts)]
    return re.compile("".join(text))


_EXPRESSIONS = tuple(
    (pattern, _expression(pattern)) for pattern in (*_OF_ALL, *("{dataset}/" + pattern for pattern in _OF_A_DATASET))
)
