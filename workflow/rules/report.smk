"""The page about all data sets.

reads    tables, curves, pictures, previews, records and frozen configurations of each data set
writes   <results>/report/cost.csv, index.html, media/
"""


# Runs when all else has run. What it reads is no input of its own: that changes with every job, this does not.
rule cost:
    input:
        frozen="<results>/report/config/cost.json",
        files=[path for files in REPORT_FILES for path in plan.paths(files.replace(cost=None))],
    output:
        table="<results>/report/cost.csv",
    log:
        "<logs>/report/cost.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        benchmarks=workflow.pathvars.apply("<benchmarks>"),
        jobs=".snakemake/slurm_logs",
    shell:
        "lvdm cost --config {input.frozen:q} --benchmarks {params.benchmarks:q} --jobs {params.jobs:q}"
        " --table {output.table:q} --log {log:q}"


rule report:
    input:
        frozen="<results>/report/config/report.json",
        files=[path for files in REPORT_FILES for path in plan.paths(files)],
    output:
        page="<results>/report/index.html",
        media=directory("<results>/report/media"),
    log:
        "<logs>/report/page.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    shell:
        "lvdm report --config {input.frozen:q} --page {output.page:q} --log {log:q}"
