"""What all rules share: the plan, wildcards and input functions.

reads    the configuration, the names of the video files
writes   nothing
"""

import re
import shlex
from contextlib import suppress
from pathlib import Path

from lvdm.config import ConfigError
from lvdm.stages import sources
from scripts import plan, removed, resources
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

try:
    PIPELINE = sources.load(config, source=" + ".join(map(str, workflow.configfiles)) or "--config")
    DATASETS, missing = plan.find(PIPELINE)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

RESULTS = Path(workflow.pathvars.apply("<results>"))

# Jobs plan too, but in the middle of a run, whose beginning has decided. The demo makes its videos itself.
if workflow.is_main_process and not PIPELINE.fewer_videos:
    found = [
        dataset for dataset in DATASETS.values() if PIPELINE.demo is None or dataset.name != sources.DEMO
    ]
    missing += filter(None, [removed.too_many(dataset, RESULTS) for dataset in found])

# Linting makes no graph, so it needs no videos. It is also what does not check environment variables.
if missing and workflow.check_envvars:
    raise WorkflowError("\n".join(missing))
if workflow.is_main_process and workflow.check_envvars:
    for dataset in DATASETS.values():
        for note in dataset.notes:
            logger.info(note)
        with suppress(OSError):  # looking at somebody else's results is no error
            removed.date_back(dataset, RESULTS)

CACHE = PIPELINE.cache
NETWORKS = sources.networks(dataset.config for dataset in DATASETS.values())
REPORT_FILES = [plan.report_files(RESULTS, dataset) for dataset in DATASETS.values()]


wildcard_constraints:
    dataset="|".join(map(re.escape, DATASETS)),
    stage=r"[a-z-]+(\.[A-Za-z0-9_+.@-]+)?",
    video=r"[A-Za-z0-9_-]+",
    group=r"[A-Za-z0-9_-]+",
    split="train|heldout",
    index=r"\d{3}",
    chunk=r"\d{4}",
    protocol=r"[A-Za-z0-9_+.-]+",
    detector=r"[A-Za-z0-9_+.-]+",
    sampler=r"(?!(real|noise)\b)[A-Za-z0-9_+.-]+",
    external=r"[A-Za-z0-9_+.-]+",
    network=r"[\w.-]+",
    model=r"[A-Za-z0-9_+.-]+",


def member_files(wildcards, suffix):
    """What stage extract wrote of the videos in one shard."""
    return expand(
        "<results>/{dataset}/frames/{video}.{suffix}",
        dataset=wildcards.dataset,
        video=DATASETS[wildcards.dataset].members[wildcards.split, int(wildcards.index)],
        suffix=suffix,
    )


def group_files(wildcards, suffix):
    """The inspections of all recordings of a group."""
    return expand(
        "<results>/{dataset}/inspections/{video}.{suffix}",
        dataset=wildcards.dataset,
        video=DATASETS[wildcards.dataset].found.members[wildcards.group],
        suffix=suffix,
    )


def group_crop(wildcards):
    """The crop of the group that a recording belongs to; none of one by itself."""
    dataset = DATASETS[wildcards.dataset]
    group = dataset.groups[wildcards.video]
    return f"<results>/{dataset.name}/crops/{group}.json" if group in dataset.crops else []


def shard_files(*splits, folder="shards"):
    """An input function: the shards (or, in another folder, latents) of some splits of a data set."""
    return lambda wildcards: expand(
        "<results>/{dataset}/{folder}/{shard}.npy",
        dataset=wildcards.dataset,
        folder=folder,
        shard=DATASETS[wildcards.dataset].shards(*splits),
    )


def real_files(wildcards):
    """The shards of the real clips that `model` stands for: those of a protocol, or of one split; none else."""
    dataset = DATASETS[wildcards.dataset]
    if wildcards.model == "real":
        return shard_files(*dataset.real_splits(wildcards.protocol))(wildcards)
    return shard_files(wildcards.model)(wildcards) if wildcards.model in plan.SPLITS else []


def generated_files(wildcards):
    """The files of generated videos of `model`: chunks of a sampler's, or those of another generator; none else."""
    dataset = DATASETS[wildcards.dataset]
    if wildcards.model in dataset.externals:
        return expand(
            "<results>/{dataset}/external/{external}.npy", dataset=dataset.name, external=wildcards.model
        )
    if wildcards.model in plan.REFERENCES:
        return []
    return expand(
        "<results>/{dataset}/samples/{sampler}/{chunk}.npy",
        dataset=dataset.name,
        sampler=wildcards.model,
        chunk=dataset.chunks,
    )


def network_file(wildcards):
    """The file of the network of `detector`, in the cache or where it was given; none of a stand-in."""
    file = DATASETS[wildcards.dataset].detectors[wildcards.detector].file
    return [] if file is None else sources.network_path(file, CACHE)


def perceptual_file(wildcards):
    """The network of the autoencoder's perceptual loss, likewise; none where that is off."""
    file = DATASETS[wildcards.dataset].config.autoencoder.loss.perceptual
    return [] if file is None else sources.network_path(file, CACHE)


def initial_weights(section):
    """An input function: the weights, and the record beside them, that a training starts from; none from scratch."""

    def files(wildcards):
        weights = getattr(DATASETS[wildcards.dataset].config, section).weights
        return [] if weights is None else [str(weights), str(weights.with_suffix(".json"))]

    return files


def compute_threads(wildcards):
    """CPU threads of a job that runs a network, as configured for the data set."""
    return DATASETS[wildcards.dataset].config.compute.threads


def growing(start, each=0.0, of=None):
    """A resource function: ``start``, and ``each`` for everything that ``of`` counts; more at each attempt."""

    def amount(wildcards, attempt):
        return resources.grown(start + (each * of(wildcards) if of else 0), attempt)

    return amount


def in_a_group(rule, minutes):
    """A resource function: ``minutes``, at most the share of the longest walltime that is left to each of a group.

    What a group does not finish in one walltime it does at the next attempt, without what is done.
    """

    def amount(wildcards, attempt):
        group = workflow.group_settings.overwrite_groups.get(rule)
        members = workflow.group_settings.group_components.get(group, 1)
        longest = workflow.global_resources.get("runtime").value
        asked = minutes(wildcards, attempt)
        return asked if longest is None else min(asked, max(1, longest // members))

    return amount


def videos(wildcards):
    """Videos of a data set."""
    return len(DATASETS[wildcards.dataset].videos)


def members(wildcards):
    """Videos of a shard."""
    return len(DATASETS[wildcards.dataset].members[wildcards.split, int(wildcards.index)])


def megabytes(wildcards):
    """Size of a video file; 0 before there is one."""
    return resources.megabytes(DATASETS[wildcards.dataset].videos[wildcards.video])


def chunk_videos(wildcards):
    """Generated videos of a chunk."""
    return DATASETS[wildcards.dataset].chunks[wildcards.chunk][1]


def network_gpus(wildcards):
    """GPUs of a job that runs a network."""
    return resources.gpus(DATASETS[wildcards.dataset].config)


def processes(section):
    """A function: processes of a training on each of its nodes."""
    return lambda wildcards: getattr(DATASETS[wildcards.dataset].config, section).gpus


def training_threads(section):
    """A function: CPUs of a training on each of its nodes."""
    return lambda wildcards: resources.training_threads(DATASETS[wildcards.dataset].config, section)


def training(section):
    """What a training asks for, by the names that the SLURM executor knows, and how it is started.

    That is its `launcher`, and as `settings` what of its configuration decides no weight.
    """

    def part(name):
        return lambda wildcards: resources.training(DATASETS[wildcards.dataset].config, section)[name]

    def launcher(wildcards):
        requeue = [
            Path(workflow.basedir) / "scripts" / "requeue.py",
            RESULTS / wildcards.dataset / section / "run",
        ]
        return shlex.join(
            map(str, ["python", *requeue, *resources.steps(DATASETS[wildcards.dataset].config, section)])
        )

    def settings(wildcards):
        return shlex.join(plan.indifferent(DATASETS[wildcards.dataset], f"train-{section}"))

    # Not parameters: another number of GPUs makes nothing stale, nor do these settings.
    own = {"launcher": launcher, "settings": settings}
    return {**{name: part(name) for name in resources.TRAINING}, **own}
