"""Distances between generated and real clips, with the reference rows `real` and `noise`.

reads    <results>/{dataset}/samples/{sampler}/, shards/, autoencoder/quality.csv
writes   <results>/{dataset}/features/{detector}/{model}.npz
         <results>/{dataset}/scores/{detector}/{model}.csv
         <results>/tables/{dataset}.{csv,md}

A model is a sampler's name, `real` (real clips: one half is scored against the other) or `noise` (no model
at all).
"""


rule features:
    input:
        frozen="<results>/{dataset}/config/features.{detector}.json",
        clips=lambda wildcards: [] if wildcards.model in plan.REFERENCES else sample_files(wildcards),
        shards=lambda wildcards: real_shard_files(wildcards) if wildcards.model == "real" else [],
    output:
        features="<results>/{dataset}/features/{detector}/{model}.npz",
    log:
        "<logs>/{dataset}/features/{detector}/{model}.log",
    benchmark:
        "<benchmarks>/{dataset}/features/{detector}/{model}.tsv"
    conda:
        "../../envs/lvdm.yaml"
    threads: compute_threads
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        noise=lambda wildcards: (
            DATASETS[wildcards.dataset].config.sample.videos if wildcards.model == "noise" else 0
        ),
    shell:
        "lvdm features --config {input.frozen:q} --clips {input.clips:q} --shards {input.shards:q}"
        " --noise {params.noise} --features {output.features:q} --log {log:q}"


rule score:
    input:
        frozen="<results>/{dataset}/config/score.{detector}.json",
        real="<results>/{dataset}/features/{detector}/real.npz",
        fake=lambda wildcards: (
            [] if wildcards.model == "real" else "<results>/{dataset}/features/{detector}/{model}.npz"
        ),
    output:
        scores="<results>/{dataset}/scores/{detector}/{model}.csv",
    log:
        "<logs>/{dataset}/score/{detector}/{model}.log",
    conda:
        "../../envs/lvdm.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        model=lambda wildcards: wildcards.model if wildcards.model in plan.REFERENCES else "lvdm",
        sampler=lambda wildcards: "" if wildcards.model in plan.REFERENCES else wildcards.model,
        fake=lambda wildcards, input: ["--fake", input.fake] if input.fake else [],
    shell:
        "lvdm score --config {input.frozen:q} --model {params.model} --sampler '{params.sampler}'"
        " --real {input.real:q} {params.fake:q} --scores {output.scores:q} --log {log:q}"


rule table:
    input:
        frozen="<results>/{dataset}/config/table.json",
        scores=lambda wildcards: expand(
            "<results>/{dataset}/scores/{detector}/{model}.csv",
            dataset=wildcards.dataset,
            detector=DATASETS[wildcards.dataset].detectors,
            model=DATASETS[wildcards.dataset].models,
        ),
        quality="<results>/{dataset}/autoencoder/quality.csv",
    output:
        table=report(
            "<results>/tables/{dataset}.csv",
            category="Results",
            labels={"dataset": "{dataset}"},
            caption="../report/table.rst",
        ),
        markdown="<results>/tables/{dataset}.md",
    log:
        "<logs>/{dataset}/table.log",
    localrule: True
    conda:
        "../../envs/lvdm.yaml"
    shell:
        "lvdm table --config {input.frozen:q} --dataset {wildcards.dataset} --scores {input.scores:q}"
        " --quality {input.quality:q} --table {output.table:q} --markdown {output.markdown:q} --log {log:q}"
