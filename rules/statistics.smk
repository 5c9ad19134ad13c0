# Reads:  per-trait metrics, heterogeneity tables, clinical and expression tables.
# Writes: the cohort table (Table 1 of Levy-Jurgenson 2020) and the survival analysis of a set of traits.


rule tabulate_cohort:
    input:
        metrics=collect(
            "<cohort>/traits/{trait}/{task}/consensus/metrics.json", trait=traits_of_task, allow_missing=True
        ),
    output:
        table=report(
            "<cohort>/tables/{task}.tsv",
            caption="captions/table.rst",
            category="Performance",
            labels={"task": "{task}"},
        ),
        parquet="<cohort>/tables/{task}.parquet",
    log:
        "<cohort>/logs/tabulate_cohort/{task}.log",
    benchmark:
        "<cohort>/benchmarks/tabulate_cohort/{task}.txt"
    wildcard_constraints:
        task="extremes",
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["table"],
    script:
        "../scripts/tabulate_cohort.py"


rule analyse_survival:
    input:
        heterogeneity="<cohort>/heterogeneity/{task}/{traits}/hti.tsv",
        clinical="<cohort>/sheets/clinical.parquet",
        expression="<cohort>/sheets/expression.parquet",
        slides="<cohort>/sheets/slides.tsv",
    output:
        summary="<cohort>/heterogeneity/{task}/{traits}/survival.json",
        picture=report(
            "<cohort>/heterogeneity/{task}/{traits}/survival.png",
            caption="captions/survival.rst",
            category="Survival",
            labels={"traits": "{traits}", "task": "{task}", "shows": "Kaplan-Meier curves"},
        ),
        groups=report(
            "<cohort>/heterogeneity/{task}/{traits}/groups.png",
            caption="captions/groups.rst",
            category="Survival",
            labels={"traits": "{traits}", "task": "{task}", "shows": "HTI by group"},
        ),
    log:
        "<cohort>/logs/analyse_survival/{task}/{traits}.log",
    benchmark:
        "<cohort>/benchmarks/analyse_survival/{task}/{traits}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        traits=traits_joined,
        settings=SETTINGS["survival"],
        choices={name: STUDY.choice(name) for name in ("hti_zero", "cut_boundary")},
        seed=STUDY.seed,
        version=VERSION["survival"],
    script:
        "../scripts/analyse_survival.py"


rule place_spots:
    input:
        spots=spots_of_cohort,
        sites=collect("<cohort>/slides/{slide}/{layout}/sites.parquet", slide=slides_of_cohort, allow_missing=True),
    output:
        placed="<cohort>/{layout}/spots.parquet",
    log:
        "<cohort>/logs/place_spots/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/place_spots/{layout}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        slides=slides_of_cohort,
        version=VERSION["spots"],
    script:
        "../scripts/place_spots.py"


rule place_rois:
    input:
        rois=rois_of_cohort,
        sites=collect("<cohort>/slides/{slide}/{layout}/sites.parquet", slide=slides_of_cohort, allow_missing=True),
    output:
        placed="<cohort>/{layout}/rois.parquet",
    log:
        "<cohort>/logs/place_rois/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/place_rois/{layout}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        slides=slides_of_cohort,
        tiling=tiling_settings,
        version=VERSION["rois"],
    script:
        "../scripts/place_rois.py"


rule compare_spots:
    input:
        placed=placed_spots_of_task,
        scores="<trait>/consensus/scores.parquet",
        slides="<trait>/consensus/slides.parquet",
        metrics="<trait>/consensus/metrics.json",
    output:
        agreement="<trait>/consensus/spots.json",
    log:
        "<cohort>/logs/compare_spots/{trait}/{task}.log",
    benchmark:
        "<cohort>/benchmarks/compare_spots/{trait}/{task}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["spots"],
    script:
        "../scripts/compare_spots.py"


# Not under a task: no slide, label or model takes part, so a cohort of tables alone has these baselines too.
rule analyse_bulk_survival:
    input:
        clinical="<cohort>/sheets/clinical.parquet",
        expression="<cohort>/sheets/expression.parquet",
    output:
        summary="<cohort>/survival/{traits}/bulk.json",
        picture=report(
            "<cohort>/survival/{traits}/bulk.png",
            caption="captions/bulk-survival.rst",
            category="Survival",
            labels={"traits": "{traits}", "shows": "bulk expression"},
        ),
    log:
        "<cohort>/logs/analyse_bulk_survival/{traits}.log",
    benchmark:
        "<cohort>/benchmarks/analyse_bulk_survival/{traits}.txt"
    wildcard_constraints:
        traits=r"[^/]+",
    conda:
        "../envs/statistics.yaml"
    params:
        traits=traits_joined,
        settings={name: SETTINGS["survival"][name] for name in ("horizon_years", "covariates")},
        version=VERSION["survival"],
    script:
        "../scripts/analyse_bulk_survival.py"
