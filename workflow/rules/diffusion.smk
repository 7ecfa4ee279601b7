"""The latent diffusion model.

reads    <results>/{dataset}/latents/, autoencoder/weights.safetensors
writes   <results>/{dataset}/diffusion/weights.{safetensors,json}, curve.csv, quality.csv, samples.png
"""


rule train_diffusion:
    input:
        frozen="<results>/{dataset}/config/train-diffusion.json",
        train=shard_files("train", folder="latents"),
        heldout=shard_files("heldout", folder="latents"),
        statistics="<results>/{dataset}/latents/statistics.json",
        autoencoder="<results>/{dataset}/autoencoder/weights.safetensors",
        initial=initial_weights("diffusion"),
    output:
        weights="<results>/{dataset}/diffusion/weights.safetensors",
        config="<results>/{dataset}/diffusion/weights.json",
        curve="<results>/{dataset}/diffusion/curve.csv",
        quality="<results>/{dataset}/diffusion/quality.csv",
        picture=report(
            "<results>/{dataset}/diffusion/samples.png",
            category="Training",
            subcategory="{dataset}",
            labels={"stage": "diffusion", "picture": "samples"},
            caption="../report/samples.rst",
        ),
    log:
        "<logs>/{dataset}/train-diffusion.log",
    benchmark:
        "<benchmarks>/{dataset}/train-diffusion.tsv"
    conda:
        "../../envs/networks.yaml"
    threads: training_threads("diffusion")
    resources:
        **training("diffusion"),
        mem_mb=growing(0, 8000, processes("diffusion")),
        runtime=1440,
    params:
        run_folder=lambda wildcards, output: Path(output.weights).with_name("run"),
        initial=lambda wildcards, input: ["--initial", input.initial[0]] if input.initial else [],
    shell:
        "{resources.launcher} lvdm train-diffusion --config {input.frozen:q} {resources.settings}"
        " --train {input.train:q} --heldout {input.heldout:q}"
        " --statistics {input.statistics:q} --autoencoder {input.autoencoder:q} {params.initial:q}"
        " --run-folder {params.run_folder:q} --weights {output.weights:q} --curve {output.curve:q}"
        " --quality {output.quality:q} --picture {output.picture:q} --log {log:q}"
        " --gpus {resources.processes} --nodes {resources.nodes}"
