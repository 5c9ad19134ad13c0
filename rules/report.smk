# Reads:  everything of a cohort.
# Writes: ledger.tsv (who was left out and why; totals reconcile or the run fails), flow.png, report.html.


rule write_ledger:
    input:
        slides="<cohort>/sheets/slides.tsv",
        exclusions="<cohort>/sheets/exclusions.tsv",
        manifests=manifests_of_cohort,
        surveys=collect("<cohort>/slides/{slide}/slide.json", slide=slides_of_cohort, allow_missing=True),
        summaries=of_every_slide("tiles.json"),
        stains=stains_of_cohort,
        labels=of_every_task("results/{cohort}/traits/{trait}/{task}/labels.json"),
        tables=of_every_task("results/{cohort}/traits/{trait}/{task}/labels.parquet"),
        audits=of_every_task("results/{cohort}/traits/{trait}/{task}/leaks.json"),
        metrics=of_every_task("results/{cohort}/traits/{trait}/{task}/consensus/metrics.json"),
        heterogeneity=heterogeneity_of_cohort("hti.tsv"),
        survival=survival_of_cohort,
        genes=genes_at_once_of_cohort,
    output:
        ledger=report("<cohort>/ledger.tsv", caption="captions/ledger.rst", category="Cohort"),
        flow=report("<cohort>/flow.png", caption="captions/flow.rst", category="Cohort"),
    log:
        "<cohort>/logs/write_ledger.log",
    benchmark:
        "<cohort>/benchmarks/write_ledger.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        layouts={name: task.layout for name, task in STUDY.tasks.items()},
        max_excluded=STUDY.max_excluded,
        version=VERSION["ledger"],
    script:
        "../scripts/write_ledger.py"


rule write_report:
    input:
        ledger="<cohort>/ledger.tsv",
        flow="<cohort>/flow.png",
        manifests=manifests_of_cohort,
        regions=regions_of_cohort,
        tables=tables_of_cohort,
        heterogeneity=heterogeneity_of_cohort("hti.tsv"),
        survival=survival_of_cohort,
        spots=spot_agreements_of_cohort,
        panels=panels_of_cohort,
        statuses=statuses_of_cohort,
        spatial=spatial_tables_of_cohort,
        variability=variability_of_cohort,
        contrasts=contrasts_of_cohort,
        enrichment=enrichment_of_cohort,
        unpredicted=unpredicted_of_cohort,
        external=external_tables_of_cohort,
        others=ledgers_of_others,
        in_spots=shown_in_spots,
    output:
        report=report("<cohort>/report.html", caption="captions/report.rst", category="Report"),
    log:
        "<cohort>/logs/write_report.log",
    benchmark:
        "<cohort>/benchmarks/write_report.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        call={"study": SETTINGS},
        root=folder_of_report,
        version=VERSION["report"],
    script:
        "../scripts/write_report.py"
