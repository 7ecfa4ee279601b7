"""Videos to clip shards.

reads    the video files (or frame folders) of each data set
writes   <results>/{dataset}/manifest.csv
         <results>/{dataset}/frames/{video}.{mkv,json}
         <results>/{dataset}/shards/{split}-{index}.{npy,json}

Videos are listed when the workflow is parsed, so a dry run shows the whole plan. Whether one is usable is
found out by `probe`: one that is left out keeps its place, with an empty .mkv and the reason beside it.
"""

if PIPELINE.demo is not None:

    rule make_demo_videos:
        input:
            frozen=f"<results>/{plan.DEMO}/config/make-demo-videos.json",
        output:
            plan.demo_videos(PIPELINE),
        log:
            f"<logs>/{plan.DEMO}/make-demo-videos.log",
        conda:
            "../../envs/lvdm.yaml"
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            folder=plan.demo_folder(PIPELINE),
        shell:
            "lvdm make-demo-videos --config {input.frozen:q} --folder {params.folder:q} --log {log:q}"


rule probe:
    input:
        frozen="<results>/{dataset}/config/probe.json",
        videos=lambda wildcards: list(DATASETS[wildcards.dataset].videos.values()),
    output:
        # Kept while the job runs: videos that did not change are not opened again.
        manifest=update("<results>/{dataset}/manifest.csv"),
    log:
        "<logs>/{dataset}/probe.log",
    conda:
        "../../envs/lvdm.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        # Globs, not paths: a thousand videos do not fit on a command line.
        source=lambda wildcards: DATASETS[wildcards.dataset].source,
    shell:
        "lvdm probe --config {input.frozen:q} {params.source:q} --manifest {output.manifest:q} --log {log:q}"


# One job a video. The manifest is ancient: another video's row makes no frames stale.
rule extract:
    input:
        frozen="<results>/{dataset}/config/extract.json",
        video=lambda wildcards: DATASETS[wildcards.dataset].videos[wildcards.video],
        manifest=ancient("<results>/{dataset}/manifest.csv"),
    output:
        frames="<results>/{dataset}/frames/{video}.mkv",
        record="<results>/{dataset}/frames/{video}.json",
    log:
        "<logs>/{dataset}/extract/{video}.log",
    conda:
        "../../envs/lvdm.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "lvdm extract --config {input.frozen:q} --video {input.video:q} --manifest {input.manifest:q}"
        " --frames {output.frames:q} --record {output.record:q} --log {log:q}"


rule shard:
    input:
        frozen="<results>/{dataset}/config/shard.json",
        manifest=ancient("<results>/{dataset}/manifest.csv"),
        members=lambda wildcards: expand(
            "<results>/{dataset}/frames/{video}.{suffix}",
            dataset=wildcards.dataset,
            video=DATASETS[wildcards.dataset].members[wildcards.split, int(wildcards.index)],
            suffix=["mkv", "json"],
        ),
    output:
        frames="<results>/{dataset}/shards/{split}-{index}.npy",
        videos="<results>/{dataset}/shards/{split}-{index}.json",
    log:
        "<logs>/{dataset}/shard/{split}-{index}.log",
    conda:
        "../../envs/lvdm.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        folder=lambda wildcards, input: Path(input.manifest).with_name("frames"),
        index=lambda wildcards: int(wildcards.index),
    shell:
        "lvdm shard --config {input.frozen:q} --manifest {input.manifest:q} --frames {params.folder:q}"
        " --split {wildcards.split} --index {params.index} --shard {output.frames:q} --log {log:q}"
