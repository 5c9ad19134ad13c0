# Reads:  predictions in spots, what was measured there, the windows' pixels.
# Writes: what the network is held against (baselines), pictures of genes, and the task's table of performance.
# Included where the study has the task spots.

BASELINES = "<trait>/baselines/{baseline}"
PLACES = ["first", "second", "last"]  # by median r


rule measure_windows:
    input:
        manifest=f"<cohort>/{SPOTS.layout}/manifest.tsv",
    output:
        features=f"<cohort>/{SPOTS.layout}/features.parquet",
    log:
        "<cohort>/logs/measure_windows.log",
    benchmark:
        "<cohort>/benchmarks/measure_windows.txt"
    conda:
        "../envs/statistics.yaml"
    threads: 8
    resources:
        mem_mb=4000,
    params:
        version=VERSION["spot_baselines"],
    script:
        "../scripts/measure_windows.py"


rule predict_baselines:
    input:
        features=f"<cohort>/{SPOTS.layout}/features.parquet",
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
        splits=splits_of_task,
    output:
        scores=collect(f"{BASELINES}/scores.parquet", baseline=BASELINE_NAMES, allow_missing=True),
        record="<trait>/baselines/record.json",
    log:
        "<cohort>/logs/predict_baselines/{trait}/{task}.log",
    benchmark:
        "<cohort>/benchmarks/predict_baselines/{trait}/{task}.txt"
    pathvars:
        trait=OF_SPOTS,
    conda:
        "../envs/statistics.yaml"
    threads: 8
    resources:
        mem_mb=8000,
    params:
        seed=STUDY.seed,
        version=VERSION["spot_baselines"],
    script:
        "../scripts/predict_baselines.py"


use rule evaluate_spots as evaluate_baseline with:
    input:
        scores=f"{BASELINES}/scores.parquet",
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
    output:
        genes=f"{BASELINES}/genes.tsv",
        sections=f"{BASELINES}/sections.tsv",
        patients=f"{BASELINES}/patients.tsv",
        curve=f"{BASELINES}/curve.tsv",
        evaluation=f"{BASELINES}/evaluation.json",
    log:
        "<cohort>/logs/evaluate_baseline/{trait}/{task}/{baseline}.log",
    benchmark:
        "<cohort>/benchmarks/evaluate_baseline/{trait}/{task}/{baseline}.txt"
    pathvars:
        trait=OF_SPOTS,


rule compare_baselines:
    input:
        genes=[
            "<trait>/consensus/genes.tsv",
            *collect(f"{BASELINES}/genes.tsv", baseline=SPOTS.baselines, allow_missing=True),
        ],
    output:
        ways="<trait>/consensus/baselines.tsv",
        tests="<trait>/consensus/against-baselines.tsv",
    log:
        "<cohort>/logs/compare_baselines/{trait}/{task}.log",
    benchmark:
        "<cohort>/benchmarks/compare_baselines/{trait}/{task}.txt"
    pathvars:
        trait=OF_SPOTS,
    conda:
        "../envs/statistics.yaml"
    params:
        names=["network", *SPOTS.baselines],
        version=VERSION["spot_baselines"],
    script:
        "../scripts/compare_baselines.py"


rule draw_spots:
    input:
        exported="<trait>/consensus/predictions/{slide}.h5ad",
        genes="<trait>/consensus/genes.tsv",
    output:
        pictures=report(
            collect("<trait>/consensus/maps/{slide}/{place}.png", place=PLACES, allow_missing=True),
            caption="captions/spot-maps.rst",
            category="Maps",
            labels={"trait": "{trait}", "slide": "{slide}"},
        ),
    log:
        "<cohort>/logs/draw_spots/{trait}/{task}/{slide}.log",
    benchmark:
        "<cohort>/benchmarks/draw_spots/{trait}/{task}/{slide}.txt"
    pathvars:
        trait=OF_SPOTS,
    conda:
        "../envs/statistics.yaml"
    params:
        places=PLACES,
        version=VERSION["spot_pictures"],
    script:
        "../scripts/draw_spots.py"


# Any gene of the model, asked for by its path.
use rule draw_spots as draw_gene with:
    output:
        pictures=["<trait>/consensus/maps/{slide}/gene-{gene}.png"],
    log:
        "<cohort>/logs/draw_gene/{trait}/{task}/{slide}/{gene}.log",
    benchmark:
        "<cohort>/benchmarks/draw_gene/{trait}/{task}/{slide}/{gene}.txt"
    pathvars:
        trait=OF_SPOTS,
    params:
        places=["gene-{gene}"],
        version=VERSION["spot_pictures"],


rule draw_curve:
    input:
        curve="<trait>/consensus/curve.tsv",
    output:
        picture="<trait>/consensus/curve.png",
    log:
        "<cohort>/logs/draw_curve/{trait}/{task}.log",
    benchmark:
        "<cohort>/benchmarks/draw_curve/{trait}/{task}.txt"
    pathvars:
        trait=OF_SPOTS,
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["spot_pictures"],
    script:
        "../scripts/draw_curve.py"


rule draw_data:
    input:
        counts=of_every_section("results/{cohort}/slides/{slide}/section/counts.h5ad"),
    output:
        picture="<cohort>/sections.png",
    log:
        "<cohort>/logs/draw_data.log",
    benchmark:
        "<cohort>/benchmarks/draw_data.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        who=who_has_sections,
        version=VERSION["spot_pictures"],
    script:
        "../scripts/draw_data.py"


rule tabulate_spots:
    input:
        genes=collect("<cohort>/traits/{trait}/spots/consensus/genes.tsv", trait=TRAITS["spots"], allow_missing=True),
        metrics=collect(
            "<cohort>/traits/{trait}/spots/consensus/metrics.json", trait=TRAITS["spots"], allow_missing=True
        ),
    output:
        table="<cohort>/tables/spots.tsv",
        parquet="<cohort>/tables/spots.parquet",
    log:
        "<cohort>/logs/tabulate_spots.log",
    benchmark:
        "<cohort>/benchmarks/tabulate_spots.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["table"],
    script:
        "../scripts/tabulate_spots.py"
