"""Generated videos, in chunks that are a job each, and previews for people.

reads    <results>/{dataset}/{autoencoder,diffusion}/weights.safetensors
writes   <results>/{dataset}/samples/{sampler}/{chunk}.npy
         <results>/{dataset}/previews/{sampler}/, previews/real/
"""


rule sample:
    input:
        frozen="<results>/{dataset}/config/sample.{sampler}.json",
        autoencoder="<results>/{dataset}/autoencoder/weights.safetensors",
        diffusion="<results>/{dataset}/diffusion/weights.safetensors",
    output:
        clips="<results>/{dataset}/samples/{sampler}/{chunk}.npy",
    log:
        "<logs>/{dataset}/sample/{sampler}/{chunk}.log",
    benchmark:
        "<benchmarks>/{dataset}/sample/{sampler}/{chunk}.tsv"
    conda:
        "../../envs/networks.yaml"
    threads: compute_threads
    resources:
        mem_mb=growing(8000),
        runtime=growing(30, 1, chunk_videos),
        gpu=network_gpus,
    params:
        # First video and number of videos. Video n depends on (seed, n) alone, not on these.
        first=lambda wildcards: DATASETS[wildcards.dataset].chunks[wildcards.chunk][0],
        videos=lambda wildcards: DATASETS[wildcards.dataset].chunks[wildcards.chunk][1],
    shell:
        "lvdm sample --config {input.frozen:q} --autoencoder {input.autoencoder:q} --diffusion {input.diffusion:q}"
        " --first {params.first} --count {params.videos} --clips {output.clips:q} --log {log:q}"


rule preview:
    input:
        frozen="<results>/{dataset}/config/preview.json",
        clips=generated_files,
        shards=lambda wildcards: shard_files(*plan.SPLITS)(wildcards) if wildcards.model == "real" else [],
    output:
        folder=report(
            directory("<results>/{dataset}/previews/{model}"),
            patterns=["{name}.mp4"],
            category="Videos",
            subcategory="{dataset}",
            labels={"of": "{model}", "video": "{name}"},
            caption="../report/previews.rst",
        ),
    log:
        "<logs>/{dataset}/preview/{model}.log",
    benchmark:
        "<benchmarks>/{dataset}/preview/{model}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    shell:
        "lvdm preview --config {input.frozen:q} --clips {input.clips:q} --shards {input.shards:q}"
        " --folder {output.folder:q} --log {log:q}"
