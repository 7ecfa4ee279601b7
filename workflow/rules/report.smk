"""The page about all data sets.

reads    tables, curves, pictures, previews, records and frozen configurations of each data set
writes   <results>/report/index.html, media/
"""


rule report:
    input:
        frozen="<results>/report/config.json",
        files=[path for files in REPORT_FILES for path in plan.paths(files)],
    output:
        page="<results>/report/index.html",
        media=directory("<results>/report/media"),
    log:
        "<logs>/report/page.log",
    localrule: True
    conda:
        "../../envs/lvdm.yaml"
    shell:
        "lvdm report --config {input.frozen:q} --page {output.page:q} --log {log:q}"
