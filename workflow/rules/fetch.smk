"""The files of networks that other people trained.

reads    their URLs
writes   <cache>/{network}, for all data sets and runs

Each is checked when it is fetched, and again whenever it is read.
"""


rule fetch:
    output:
        f"{CACHE}/{{network}}",
    log:
        "<logs>/fetch/{network}.log",
    # The nodes of a cluster often reach no network.
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        options=lambda wildcards: sources.fetch_options(NETWORKS[wildcards.network]),
    shell:
        "lvdm fetch {params.options:q} --file {output:q} --log {log:q}"
