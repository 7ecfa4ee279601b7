"""The settings and the code that each stage runs with.

reads    the configuration, the code of lvdm
writes   <results>/{dataset}/config/{stage}.json, <results>/report/config/{stage}.json

These files are the only carrier of staleness. A stage takes its own as an ordinary input, so it runs again
when its part of the configuration or its code changed, and for no change elsewhere.
"""


rule freeze:
    output:
        "<results>/{dataset}/config/{stage}.json",
    log:
        "<logs>/{dataset}/config/{stage}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        frozen=lambda wildcards: plan.frozen(DATASETS[wildcards.dataset], wildcards.stage, RESULTS),
    shell:
        "printf '%s\\n' {params.frozen:q} > {output:q} 2> {log:q}"


# With `run`, because this one names the files of every video: too much for a command line.
rule freeze_report:
    output:
        "<results>/report/config/{stage}.json",
    log:
        "<logs>/report/config/{stage}.log",
    localrule: True
    params:
        frozen=lambda wildcards: plan.frozen_report(wildcards.stage, PIPELINE.report, REPORT_FILES),
    run:
        Path(output[0]).write_text(f"{params.frozen}\n", encoding="utf-8")
