"""The video autoencoder: its training, and the latents of all clips.

reads    <results>/{dataset}/shards/
writes   <results>/{dataset}/autoencoder/weights.{safetensors,json}, curve.csv, quality.csv, reconstructions.png
         <results>/{dataset}/latents/{shard}.{npy,json}, statistics.json
"""


rule train_autoencoder:
    input:
        frozen="<results>/{dataset}/config/train-autoencoder.json",
        train=shard_files("train"),
        heldout=shard_files("heldout"),
        initial=initial_weights("autoencoder"),
        perceptual=perceptual_file,
    output:
        weights="<results>/{dataset}/autoencoder/weights.safetensors",
        config="<results>/{dataset}/autoencoder/weights.json",
        curve="<results>/{dataset}/autoencoder/curve.csv",
        quality="<results>/{dataset}/autoencoder/quality.csv",
        picture=report(
            "<results>/{dataset}/autoencoder/reconstructions.png",
            category="Training",
            subcategory="{dataset}",
            labels={"stage": "autoencoder", "picture": "reconstructions"},
            caption="../report/reconstructions.rst",
        ),
    log:
        "<logs>/{dataset}/train-autoencoder.log",
    benchmark:
        "<benchmarks>/{dataset}/train-autoencoder.tsv"
    conda:
        "../../envs/networks.yaml"
    threads: training_threads("autoencoder")
    resources:
        **training("autoencoder"),
        mem_mb=growing(0, 8000, processes("autoencoder")),
        runtime=1440,
    params:
        # Not an output: Snakemake deletes those of a failed job, and a retry goes on from its checkpoints.
        run_folder=lambda wildcards, output: Path(output.weights).with_name("run"),
        initial=lambda wildcards, input: ["--initial", input.initial[0]] if input.initial else [],
        perceptual=lambda wildcards, input: ["--perceptual", input.perceptual] if input.perceptual else [],
    shell:
        "{resources.launcher} lvdm train-autoencoder --config {input.frozen:q} {resources.settings}"
        " --train {input.train:q} --heldout {input.heldout:q} {params.initial:q} {params.perceptual:q}"
        " --run-folder {params.run_folder:q} --weights {output.weights:q} --curve {output.curve:q}"
        " --quality {output.quality:q} --picture {output.picture:q} --log {log:q}"
        " --gpus {resources.processes} --nodes {resources.nodes}"


rule encode:
    input:
        frozen="<results>/{dataset}/config/encode.json",
        shard="<results>/{dataset}/shards/{split}-{index}.npy",
        videos="<results>/{dataset}/shards/{split}-{index}.json",
        autoencoder="<results>/{dataset}/autoencoder/weights.safetensors",
    output:
        latents="<results>/{dataset}/latents/{split}-{index}.npy",
        windows="<results>/{dataset}/latents/{split}-{index}.json",
    log:
        "<logs>/{dataset}/encode/{split}-{index}.log",
    benchmark:
        "<benchmarks>/{dataset}/encode/{split}-{index}.tsv"
    conda:
        "../../envs/networks.yaml"
    threads: compute_threads
    resources:
        mem_mb=growing(8000),
        runtime=growing(20, 2, members),
        gpu=network_gpus,
    shell:
        "lvdm encode --config {input.frozen:q} --shard {input.shard:q} --autoencoder {input.autoencoder:q}"
        " --latents {output.latents:q} --log {log:q}"


rule latent_statistics:
    input:
        frozen="<results>/{dataset}/config/latent-statistics.json",
        latents=shard_files("train", folder="latents"),
    output:
        statistics="<results>/{dataset}/latents/statistics.json",
    log:
        "<logs>/{dataset}/latent-statistics.log",
    benchmark:
        "<benchmarks>/{dataset}/latent-statistics.tsv"
    conda:
        "../../envs/networks.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    shell:
        "lvdm latent-statistics --config {input.frozen:q} --latents {input.latents:q}"
        " --statistics {output.statistics:q} --log {log:q}"
