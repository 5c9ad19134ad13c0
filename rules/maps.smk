# Reads:  consensus scores, sites, thumbnails.
# Writes: cartographies and value maps (one trait), and heterogeneity maps and tables (several traits joined by +).


rule draw_map:
    input:
        scores="<trait>/consensus/scores.parquet",
        survey="<cohort>/slides/{slide}/slide.json",
        thumbnail="<cohort>/slides/{slide}/thumbnail.png",
        sites=sites_of_slide,
    output:
        picture=report(
            "<trait>/consensus/maps/{slide}.png",
            caption="captions/map.rst",
            category="Cartographies",
            subcategory="{trait}",
            labels={"slide": "{slide}", "task": "{task}"},
        ),
    log:
        "<cohort>/logs/draw_map/{trait}/{task}/{slide}.log",
    benchmark:
        "<cohort>/benchmarks/draw_map/{trait}/{task}/{slide}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/{task,extremes}",  # see labels.smk
    conda:
        "../envs/slides.yaml"
    params:
        version=VERSION["map"],
    script:
        "../scripts/draw_map.py"


rule draw_value_map:
    input:
        scores="<trait>/consensus/scores.parquet",
        survey="<cohort>/slides/{slide}/slide.json",
        thumbnail="<cohort>/slides/{slide}/thumbnail.png",
        sites=sites_of_slide,
    output:
        picture=report(
            "<trait>/consensus/maps/{slide}.png",
            caption="captions/value-map.rst",
            category="Cartographies",
            subcategory="{trait}",
            labels={"slide": "{slide}", "task": "{task}"},
        ),
    log:
        "<cohort>/logs/draw_value_map/{trait}/{task}/{slide}.log",
    benchmark:
        "<cohort>/benchmarks/draw_value_map/{trait}/{task}/{slide}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/{task,regression|regions}",
    conda:
        "../envs/slides.yaml"
    params:
        version=VERSION["value_map"],
    script:
        "../scripts/draw_value_map.py"


rule measure_heterogeneity:
    input:
        scores=collect(
            "<cohort>/traits/{trait}/{task}/consensus/scores.parquet", trait=traits_joined, allow_missing=True
        ),
        slides=collect(
            "<cohort>/traits/{trait}/{task}/consensus/slides.parquet", trait=traits_joined, allow_missing=True
        ),
    output:
        table=report(
            "<cohort>/heterogeneity/{task}/{traits}/hti.tsv",
            caption="captions/hti.rst",
            category="Heterogeneity",
            labels={"traits": "{traits}", "task": "{task}"},
        ),
    log:
        "<cohort>/logs/measure_heterogeneity/{task}/{traits}.log",
    benchmark:
        "<cohort>/benchmarks/measure_heterogeneity/{task}/{traits}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        traits=traits_joined,
        settings=heterogeneity_settings,
        seed=STUDY.seed,
        version=VERSION["heterogeneity"],
    script:
        "../scripts/measure_heterogeneity.py"


rule draw_combination_map:
    input:
        scores=collect(
            "<cohort>/traits/{trait}/{task}/consensus/scores.parquet", trait=traits_joined, allow_missing=True
        ),
        heterogeneity="<cohort>/heterogeneity/{task}/{traits}/hti.tsv",
        survey="<cohort>/slides/{slide}/slide.json",
        thumbnail="<cohort>/slides/{slide}/thumbnail.png",
        sites=sites_of_slide,
    output:
        picture=report(
            "<cohort>/heterogeneity/{task}/{traits}/maps/{slide}.png",
            caption="captions/combination-map.rst",
            category="Heterogeneity",
            subcategory="{traits}",
            labels={"slide": "{slide}", "task": "{task}"},
        ),
    log:
        "<cohort>/logs/draw_combination_map/{task}/{traits}/{slide}.log",
    benchmark:
        "<cohort>/benchmarks/draw_combination_map/{task}/{traits}/{slide}.txt"
    conda:
        "../envs/slides.yaml"
    params:
        traits=traits_joined,
        version=VERSION["map"],
    script:
        "../scripts/draw_combination_map.py"
