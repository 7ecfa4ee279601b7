"""Videos to clip shards.

reads    the video files (or frame folders) of each data set
writes   <results>/{dataset}/manifest.csv
         <results>/{dataset}/frames/{video}.{mkv,json}
         <results>/{dataset}/shards/{split}-{index}.{npy,json}

Videos are listed when the workflow is parsed, so a dry run shows the whole plan. A video that turns out not to
be usable keeps its place, with an empty .mkv and the reason beside it.
"""

if PIPELINE.demo is not None:

    rule make_demo_videos:
        input:
            frozen=f"<results>/{sources.DEMO}/config/make-demo-videos.json",
        output:
            sources.demo_videos(PIPELINE),
        log:
            f"<logs>/{sources.DEMO}/make-demo-videos.log",
        benchmark:
            f"<benchmarks>/{sources.DEMO}/make-demo-videos.tsv"
        conda:
            "../../envs/data.yaml"
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            folder=sources.demo_folder(PIPELINE),
        shell:
            "lvdm make-demo-videos --config {input.frozen:q} --folder {params.folder:q} --log {log:q}"


# An overview for people and for the page; with `on_bad_video: fail` it stops the run, so it goes first. No
# other stage of the data takes the manifest, because every new video changes it.
rule probe:
    input:
        frozen="<results>/{dataset}/config/probe.json",
        videos=lambda wildcards: list(DATASETS[wildcards.dataset].videos.values()),
    output:
        # Kept while the job runs: videos that did not change are not opened again.
        manifest=update("<results>/{dataset}/manifest.csv"),
    log:
        "<logs>/{dataset}/probe.log",
    benchmark:
        "<benchmarks>/{dataset}/probe.tsv"
    priority: 1
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20, 0.05, videos),
    params:
        # Globs, not paths: a thousand videos do not fit on a command line.
        source=lambda wildcards: DATASETS[wildcards.dataset].source,
    shell:
        "lvdm probe --config {input.frozen:q} {params.source:q} --manifest {output.manifest:q} --log {log:q}"


# One job a video, so a new video costs one job.
rule extract:
    input:
        frozen="<results>/{dataset}/config/extract.json",
        video=lambda wildcards: DATASETS[wildcards.dataset].videos[wildcards.video],
    output:
        frames="<results>/{dataset}/frames/{video}.mkv",
        record="<results>/{dataset}/frames/{video}.json",
    log:
        "<logs>/{dataset}/extract/{video}.log",
    benchmark:
        "<benchmarks>/{dataset}/extract/{video}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=growing(2000, 0.25, megabytes),
        runtime=in_a_group("extract", growing(5, 0.02, megabytes)),
        turn=1,
    shell:
        "lvdm extract --config {input.frozen:q} --video {input.video:q}"
        " --frames {output.frames:q} --record {output.record:q} --log {log:q}"


rule shard:
    input:
        frozen="<results>/{dataset}/config/shard.json",
        frames=lambda wildcards: member_files(wildcards, "mkv"),
        records=lambda wildcards: member_files(wildcards, "json"),
    output:
        shard="<results>/{dataset}/shards/{split}-{index}.npy",
        videos="<results>/{dataset}/shards/{split}-{index}.json",
    log:
        "<logs>/{dataset}/shard/{split}-{index}.log",
    benchmark:
        "<benchmarks>/{dataset}/shard/{split}-{index}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=in_a_group("shard", growing(10, 0.5, members)),
        turn=1,
    shell:
        "lvdm shard --config {input.frozen:q} --frames {input.frames:q} --shard {output.shard:q} --log {log:q}"
