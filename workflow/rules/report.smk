"""The page about all data sets.

reads    tables, curves, pictures, previews, records and frozen configurations of each data set
writes   <results>/report/index.html, media/
"""


# With `run`, because this one names the files of every video, too much for a command line.
rule freeze_report:
    output:
        "<results>/report/config.json",
    log:
        "<logs>/report/config.log",
    localrule: True
    params:
        frozen=plan.frozen_report(PIPELINE.report, REPORT_FILES),
    run:
        Path(output[0]).write_text(params.frozen + "\n", encoding="utf-8")


rule report:
    input:
        frozen="<results>/report/config.json",
        files=[path for files in REPORT_FILES for path in plan.paths(files)],
    output:
        page="<results>/report/index.html",
    log:
        "<logs>/report/page.log",
    localrule: True
    conda:
        "../../envs/lvdm.yaml"
    shell:
        "lvdm report --config {input.frozen:q} --page {output.page:q} --log {log:q}"
