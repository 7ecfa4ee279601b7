"""Scores of generated videos, ours and other people's, with the reference rows `real`, `noise` and `train`.

reads    <results>/{dataset}/samples/{sampler}/, shards/, autoencoder/quality.csv, the videos of other generators
writes   <results>/{dataset}/external/{external}.npy
         <results>/{dataset}/features/{protocol}/{detector}/{model}.npz
         <results>/{dataset}/scores/{protocol}/{detector}/{model}.csv
         <results>/{dataset}/curves/{protocol}/{detector}/{model}.csv
         <results>/{dataset}/memorisation/{protocol}/{detector}/{model}.{csv,json}, {model}/pairs/
         <results>/tables/{dataset}.{csv,md,tex}

A model is a generator: a sampler's name or that of another generator; or a reference: `real` (real clips: one
half is scored against the other), `train` (real clips of training videos against those of held-out ones) or
`noise` (no model at all).
"""


rule import_clips:
    input:
        frozen="<results>/{dataset}/config/import-clips.{external}.json",
        videos=lambda wildcards: DATASETS[wildcards.dataset].externals[wildcards.external],
    output:
        clips="<results>/{dataset}/external/{external}.npy",
    log:
        "<logs>/{dataset}/import-clips/{external}.log",
    benchmark:
        "<benchmarks>/{dataset}/import-clips/{external}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        # Globs, not paths, as of stage probe.
        source=lambda wildcards: DATASETS[wildcards.dataset].external_source(wildcards.external),
    shell:
        "lvdm import-clips --config {input.frozen:q} {params.source:q} --clips {output.clips:q} --log {log:q}"


rule features:
    input:
        frozen=lambda wildcards: (
            "<results>/{dataset}/config/"
            + DATASETS[wildcards.dataset].features_stage(
                wildcards.protocol, wildcards.detector, wildcards.model
            )
            + ".json"
        ),
        network=network_file,
        clips=generated_files,
        shards=real_files,
    output:
        features="<results>/{dataset}/features/{protocol}/{detector}/{model}.npz",
    log:
        "<logs>/{dataset}/features/{protocol}/{detector}/{model}.log",
    benchmark:
        "<benchmarks>/{dataset}/features/{protocol}/{detector}/{model}.tsv"
    conda:
        "../../envs/networks.yaml"
    threads: compute_threads
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
        gpu=network_gpus,
    params:
        noise=lambda wildcards: (
            DATASETS[wildcards.dataset].config.sample.videos if wildcards.model == "noise" else 0
        ),
        network=lambda wildcards, input: ["--network", input.network] if input.network else [],
        # Not an output: what is computed outlives a failed job, and serves other protocols.
        store=lambda wildcards: RESULTS / wildcards.dataset / "features" / ".parts" / wildcards.detector,
    shell:
        "lvdm features --config {input.frozen:q} {params.network:q} --clips {input.clips:q} --shards {input.shards:q}"
        " --noise {params.noise} --store {params.store:q} --features {output.features:q} --log {log:q}"


rule score:
    input:
        frozen="<results>/{dataset}/config/score.{protocol}@{detector}.json",
        real=lambda wildcards: (
            "<results>/{dataset}/features/{protocol}/{detector}/"
            + ("heldout.npz" if wildcards.model == "train" else "real.npz")
        ),
        fake=lambda wildcards: (
            []
            if wildcards.model == "real"
            else "<results>/{dataset}/features/{protocol}/{detector}/{model}.npz"
        ),
    output:
        scores="<results>/{dataset}/scores/{protocol}/{detector}/{model}.csv",
        curve="<results>/{dataset}/curves/{protocol}/{detector}/{model}.csv",
    log:
        "<logs>/{dataset}/score/{protocol}/{detector}/{model}.log",
    benchmark:
        "<benchmarks>/{dataset}/score/{protocol}/{detector}/{model}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=in_a_group("score", growing(120)),
        turn=1,
    params:
        model=lambda wildcards: (
            "lvdm" if wildcards.model in DATASETS[wildcards.dataset].samplers else wildcards.model
        ),
        sampler=lambda wildcards: (
            wildcards.model if wildcards.model in DATASETS[wildcards.dataset].samplers else ""
        ),
        fake=lambda wildcards, input: ["--fake", input.fake] if input.fake else [],
    shell:
        "lvdm score --config {input.frozen:q} --model {params.model} --sampler '{params.sampler}'"
        " --real {input.real:q} {params.fake:q} --scores {output.scores:q} --curve {output.curve:q} --log {log:q}"


rule memorise:
    input:
        frozen="<results>/{dataset}/config/memorise.{protocol}@{detector}.json",
        generated="<results>/{dataset}/features/{protocol}/{detector}/{model}.npz",
        train="<results>/{dataset}/features/{protocol}/{detector}/train.npz",
        heldout=lambda wildcards: (
            "<results>/{dataset}/features/{protocol}/{detector}/heldout.npz"
            if "heldout" in DATASETS[wildcards.dataset].splits
            else []
        ),
        clips=generated_files,
        shards=shard_files("train"),
    output:
        distances="<results>/{dataset}/memorisation/{protocol}/{detector}/{model}.csv",
        summary="<results>/{dataset}/memorisation/{protocol}/{detector}/{model}.json",
        pairs=directory("<results>/{dataset}/memorisation/{protocol}/{detector}/{model}/pairs"),
    log:
        "<logs>/{dataset}/memorise/{protocol}/{detector}/{model}.log",
    benchmark:
        "<benchmarks>/{dataset}/memorise/{protocol}/{detector}/{model}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        heldout=lambda wildcards, input: ["--heldout", input.heldout] if input.heldout else [],
    shell:
        "lvdm memorise --config {input.frozen:q} --generated {input.generated:q} --train {input.train:q}"
        " {params.heldout:q} --clips {input.clips:q} --shards {input.shards:q}"
        " --distances {output.distances:q} --summary {output.summary:q} --pairs {output.pairs:q} --log {log:q}"


rule table:
    input:
        frozen="<results>/{dataset}/config/table.json",
        scores=lambda wildcards: plan.score_files(RESULTS, DATASETS[wildcards.dataset]),
        quality="<results>/{dataset}/autoencoder/quality.csv",
        shards=lambda wildcards: expand(
            "<results>/{dataset}/shards/{shard}.json",
            dataset=wildcards.dataset,
            shard=DATASETS[wildcards.dataset].shards(*plan.SPLITS),
        ),
        published=lambda wildcards: DATASETS[wildcards.dataset].config.evaluate.published or [],
    output:
        table=report(
            "<results>/tables/{dataset}.csv",
            category="Results",
            labels={"dataset": "{dataset}"},
            caption="../report/table.rst",
        ),
        markdown="<results>/tables/{dataset}.md",
        latex="<results>/tables/{dataset}.tex",
    log:
        "<logs>/{dataset}/table.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        published=lambda wildcards, input: ["--published", input.published] if input.published else [],
    shell:
        "lvdm table --config {input.frozen:q} --dataset {wildcards.dataset} --scores {input.scores:q}"
        " --quality {input.quality:q} --shards {input.shards:q} {params.published:q} --table {output.table:q} --markdown {output.markdown:q}"
        " --latex {output.latex:q} --log {log:q}"
