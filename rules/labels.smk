# Reads:  the cohort's manifest and expression table.
# Writes: splits (drawn before any trait is looked at) and, per trait and task, labels.parquet: one rule per task, chosen by
#         the path. A fifth task is one more label rule here and one row in histocarta.tasks.
# A rule that is one task's says so in its pathvars: wildcard_constraints do not reach into them (snakemake#4197).
# A small table: lookup walks all of what it looks within, and the settings hold every trait's name.
LABELLING = {name: task["labels"] for name, task in SETTINGS["tasks"].items() if "labels" in task}


# A scheme decides how many rounds there are, so each scheme in use has its rule. Who has tiles decides who is split: the
# manifest of the layout that the scheme's first task reads.
for SCHEME, LAYOUT in {task.scheme: task.layout for task in reversed(STUDY.tasks.values())}.items():

    rule:
        name:
            f"split_{SCHEME}".replace("-", "_")
        input:
            manifest=manifest_to_split(LAYOUT),
        output:
            rounds=collect(
                "<cohort>/splits/{scheme}/round-{round}.tsv", round=rounds_of_scheme(SCHEME), allow_missing=True
            ),
        log:
            "<cohort>/logs/split_cohort/{scheme}.log",
        benchmark:
            "<cohort>/benchmarks/split_cohort/{scheme}.txt"
        wildcard_constraints:
            scheme=SCHEME,
        conda:
            "../envs/statistics.yaml"
        params:
            scheme="{scheme}",
            settings=STUDY.splits[SCHEME].splitting(),
            seed=STUDY.seed,
            version=VERSION["split"],
        script:
            "../scripts/split_cohort.py"


rule label_extremes:
    input:
        expression="<cohort>/sheets/expression.parquet",
        manifest=manifest_of_task,
        split=splits_of_task,
    output:
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
    log:
        "<cohort>/logs/label_extremes/{trait}/{task}.log",
    benchmark:
        "<cohort>/benchmarks/label_extremes/{trait}/{task}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/{task,extremes}",
    conda:
        "../envs/statistics.yaml"
    params:
        trait="{trait}",
        settings=lookup("{task}", within=LABELLING),
        fitted_on=STUDY.choice("percentiles_fitted_on"),
        version=VERSION["label"],
    script:
        "../scripts/label_extremes.py"


rule label_regression:
    input:
        expression="<cohort>/sheets/expression.parquet",
        manifest=manifest_of_task,
        split=splits_of_task,
        sheet=sheet_of_batches,
    output:
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
    log:
        "<cohort>/logs/label_regression/{trait}/{task}.log",
    benchmark:
        "<cohort>/benchmarks/label_regression/{trait}/{task}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/{task,regression}",
    conda:
        "../envs/statistics.yaml"
    params:
        trait="{trait}",
        settings=lookup("{task}", within=LABELLING),
        fitted_on=STUDY.choice("percentiles_fitted_on"),
        test_shift=STUDY.choice("test_batch_shift"),
        version=VERSION["values"],
    script:
        "../scripts/label_regression.py"


rule audit_leaks:
    input:
        manifest=manifest_of_task,
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
        splits=splits_of_task,
    output:
        audit="<trait>/leaks.json",
    log:
        "<cohort>/logs/audit_leaks/{trait}/{task}.log",
    benchmark:
        "<cohort>/benchmarks/audit_leaks/{trait}/{task}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        unit=unit_of_task,
        fitted_on=STUDY.choice("percentiles_fitted_on"),
        version=VERSION["split"],
    script:
        "../scripts/audit_leaks.py"


if "regions" in STUDY.tasks:

    include: "regions.smk"


if "spots" in STUDY.tasks:

    include: "spots.smk"
    include: "spot_results.smk"
    include: "spot_sets.smk"
    include: "spot_latent.smk"
    include: "spot_explained.smk"
    include: "spot_transfer.smk"
    include: "spot_bulk.smk"


if "spots" in STUDY.tasks and "extremes" in STUDY.tasks:

    include: "spot_cartography.smk"
