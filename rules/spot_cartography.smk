# Reads:  what models of spots predict, and the cartographies of the task extremes, of the same cohort's tissue.
# Writes: <trait>/consensus/cartography.tsv and .png: both maps of a gene beside what was measured.
# Included where the study has the tasks spots and extremes.

OF_EXTREMES = "<cohort>/traits/{gene}/extremes/consensus"
SITES_OF_SLIDES = {
    task: collect(
        f"<cohort>/slides/{{slide}}/{STUDY.tasks[task].layout}/sites.parquet",
        slide=slides_of_cohort,
        allow_missing=True,
    )
    for task in ("spots", "extremes")
}


rule compare_cartography:
    input:
        scores="<trait>/consensus/scores.parquet",
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
        windows=SITES_OF_SLIDES["spots"],
        tiles=SITES_OF_SLIDES["extremes"],
        sheet="<cohort>/sheets/slides.tsv",
        metrics=collect(f"{OF_EXTREMES}/metrics.json", gene=TRAITS["extremes"], allow_missing=True),
        tile_scores=collect(f"{OF_EXTREMES}/scores.parquet", gene=TRAITS["extremes"], allow_missing=True),
        slide_scores=collect(f"{OF_EXTREMES}/slides.parquet", gene=TRAITS["extremes"], allow_missing=True),
    output:
        table="<trait>/consensus/cartography.tsv",
        picture="<trait>/consensus/cartography.png",
    log:
        "<cohort>/logs/compare_cartography/{trait}.log",
    benchmark:
        "<cohort>/benchmarks/compare_cartography/{trait}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/spots",
    conda:
        "../envs/statistics.yaml"
    params:
        slides=slides_of_cohort,
        version=VERSION["spots"],
    script:
        "../scripts/compare_cartography.py"
