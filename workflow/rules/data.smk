"""Videos to clip shards.

reads    the video files (or frame folders) of each data set
writes   <results>/{dataset}/listing.csv
         <results>/{dataset}/inspections/{video}.{json,npz}
         <results>/{dataset}/crops/{group}.json
         <results>/{dataset}/manifest.csv
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


# Which recordings there are, their groups and their sides of the split. With `run`, because the names of all videos are
# too much for a command line.
rule listing:
    output:
        "<results>/{dataset}/listing.csv",
    log:
        "<logs>/{dataset}/listing.log",
    localrule: True
    params:
        listing=lambda wildcards: plan.listing(DATASETS[wildcards.dataset]),
    run:
        Path(output[0]).write_text(params.listing, encoding="utf-8")


# Decodes a recording whole, whatever is asked of it later: no setting makes it stale.
rule inspect:
    input:
        frozen="<results>/{dataset}/config/inspect.json",
        video=lambda wildcards: DATASETS[wildcards.dataset].videos[wildcards.video],
    output:
        record="<results>/{dataset}/inspections/{video}.json",
        arrays="<results>/{dataset}/inspections/{video}.npz",
    log:
        "<logs>/{dataset}/inspect/{video}.log",
    benchmark:
        "<benchmarks>/{dataset}/inspect/{video}.tsv"
    priority: 1
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=growing(2000, 0.25, megabytes),
        runtime=in_a_group("inspect", growing(5, 0.02, megabytes)),
        turn=1,
    shell:
        "lvdm inspect --config {input.frozen:q} --video {input.video:q} --inspection {output.record:q} --log {log:q}"


# One crop for all recordings of a group; the picture of a recording by itself is found when that is extracted.
rule crop:
    input:
        frozen="<results>/{dataset}/config/crop.json",
        records=lambda wildcards: group_files(wildcards, "json"),
        arrays=lambda wildcards: group_files(wildcards, "npz"),
    output:
        crop="<results>/{dataset}/crops/{group}.json",
    log:
        "<logs>/{dataset}/crop/{group}.log",
    benchmark:
        "<benchmarks>/{dataset}/crop/{group}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=in_a_group("crop", growing(5)),
        turn=1,
    shell:
        "lvdm crop --config {input.frozen:q} --inspections {input.records:q} --crop {output.crop:q} --log {log:q}"


# An overview for people and for the page; with `on_bad_video: fail` it stops the run, so it goes first. No
# other stage of the data takes the manifest, because every new video changes it.
rule probe:
    input:
        frozen="<results>/{dataset}/config/probe.json",
        listing="<results>/{dataset}/listing.csv",
        inspections=lambda wildcards: expand(
            "<results>/{dataset}/inspections/{video}.{suffix}",
            dataset=wildcards.dataset,
            video=DATASETS[wildcards.dataset].videos,
            suffix=["json", "npz"],
        ),
        crops=lambda wildcards: expand(
            "<results>/{dataset}/crops/{group}.json",
            dataset=wildcards.dataset,
            group=DATASETS[wildcards.dataset].crops,
        ),
    output:
        manifest="<results>/{dataset}/manifest.csv",
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
        # Folders, not files: those of a thousand videos do not fit on a command line.
        inspections=lambda wildcards: RESULTS / wildcards.dataset / "inspections",
        crops=lambda wildcards: RESULTS / wildcards.dataset / "crops",
    shell:
        "lvdm probe --config {input.frozen:q} --listing {input.listing:q} --inspections {params.inspections:q}"
        " --crops {params.crops:q} --manifest {output.manifest:q} --log {log:q}"


# One job per video, so a new video costs one job. A new one of a group lets those of the others run too; what was made
# with the same crop they leave as it is.
rule extract:
    input:
        frozen="<results>/{dataset}/config/extract.json",
        video=lambda wildcards: DATASETS[wildcards.dataset].videos[wildcards.video],
        inspection="<results>/{dataset}/inspections/{video}.json",
        arrays="<results>/{dataset}/inspections/{video}.npz",
        crop=group_crop,
    output:
        frames=update("<results>/{dataset}/frames/{video}.mkv"),
        record=update("<results>/{dataset}/frames/{video}.json"),
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
    params:
        group=lambda wildcards: DATASETS[wildcards.dataset].groups[wildcards.video],
        crop=lambda wildcards, input: ["--crop", input.crop] if input.crop else [],
    shell:
        "lvdm extract --config {input.frozen:q} --video {input.video:q} --inspection {input.inspection:q}"
        " {params.crop:q} --group {params.group} --frames {output.frames:q} --record {output.record:q} --log {log:q}"


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
