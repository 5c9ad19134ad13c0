# Reads:  slide files named in the sheet.
# Writes: results/{cohort}/slides/{slide}/…: survey, tissue mask, stain, sites and tiles; results/{cohort}/{layout}/manifest.tsv.
# Pixels are read and encoded once, without labels: every trait, round and task joins its labels to the same shards.


def slide_row(wildcards):
    """What the sheet says of one slide, and what its cohort says of slides without a resolution."""
    row, cohort = SLIDES[wildcards.cohort].loc[wildcards.slide], STUDY.cohorts[wildcards.cohort]
    return {
        "slide": wildcards.slide,
        "patient": row["patient"],
        "sheet_mpp": float(row["mpp"]) if row["mpp"] else None,
        "region": [float(row[key]) for key in ("x", "y", "width", "height")] if row["x"] else None,
        "exclude": row["exclude"],
        "default_mpp": cohort.default_mpp,
        "mpp_from_objective": cohort.mpp_from_objective,
    }


def slide_file(wildcards):
    """The file that OpenSlide opens: the sheet's own, or the pyramid made from a plain image."""
    row = SLIDES[wildcards.cohort].loc[wildcards.slide]
    if row["exclude"]:
        return []  # a slide that the sheet excludes need not be there, nor be downloaded
    file = row["file"]
    return f"results/{wildcards.cohort}/images/{Path(file).stem}.tif" if is_plain_image(file) else file


def plain_image(wildcards):
    """The plain image behind an imported pyramid."""
    return plain_image_named(wildcards.image, SLIDES[wildcards.cohort]["file"])


def plain_image_mpp(wildcards):
    """The sheet's resolution of a plain image, µm per pixel; an image without one is the job's error to tell."""
    sheet = SLIDES[wildcards.cohort].drop_duplicates("file").set_index("file")
    return sheet.at[plain_image(wildcards), "mpp"]


def tiling_settings(wildcards):
    """How a layout's tiles are cut and judged."""
    return STUDY.layouts[wildcards.layout].tiling()


def staining_settings(wildcards):
    """How a layout's stain is estimated."""
    return STUDY.layouts[wildcards.layout].staining()


rule import_image:
    input:
        image=plain_image,
    output:
        pyramid="<cohort>/images/{image}.tif",
    log:
        "<cohort>/logs/import_image/{image}.log",
    benchmark:
        "<cohort>/benchmarks/import_image/{image}.tsv"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=4000,
    params:
        mpp=plain_image_mpp,
        quality=90,
        version=VERSION["image"],
    script:
        "../scripts/import_image.py"


rule survey_slide:
    input:
        file=slide_file,
    output:
        survey="<cohort>/slides/{slide}/slide.json",
        thumbnail="<cohort>/slides/{slide}/thumbnail.png",
        tissue="<cohort>/slides/{slide}/tissue.png",
    log:
        "<cohort>/logs/survey_slide/{slide}.log",
    benchmark:
        "<cohort>/benchmarks/survey_slide/{slide}.tsv"
    conda:
        "../envs/slides.yaml"
    params:
        row=slide_row,
        version=VERSION["survey"],
    script:
        "../scripts/survey_slide.py"


rule estimate_stain:
    input:
        survey="<cohort>/slides/{slide}/slide.json",
        tissue="<cohort>/slides/{slide}/tissue.png",
    output:
        stain="<cohort>/slides/{slide}/{layout}/stain.json",
    log:
        "<cohort>/logs/estimate_stain/{slide}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/estimate_stain/{slide}/{layout}.tsv"
    conda:
        "../envs/slides.yaml"
    params:
        layout=staining_settings,
        seed=STUDY.seed,
        version=VERSION["stain"],
    script:
        "../scripts/estimate_stain.py"


rule tile_slide:
    input:
        survey="<cohort>/slides/{slide}/slide.json",
        tissue="<cohort>/slides/{slide}/tissue.png",
        thumbnail="<cohort>/slides/{slide}/thumbnail.png",
        stain=branch(
            lookup("{layout}/stain", within=SETTINGS["layouts"]),
            cases={"none": []},
            otherwise="<cohort>/slides/{slide}/{layout}/stain.json",
        ),
    output:
        sites="<cohort>/slides/{slide}/{layout}/sites.parquet",
        shard="<cohort>/slides/{slide}/{layout}/tiles.tfrecord",
        summary="<cohort>/slides/{slide}/{layout}/tiles.json",
        picture=report(
            "<cohort>/slides/{slide}/{layout}/tiles.png",
            caption="captions/tiles.rst",
            category="Slides",
            labels={"slide": "{slide}", "layout": "{layout}"},
        ),
    log:
        "<cohort>/logs/tile_slide/{slide}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/tile_slide/{slide}/{layout}.tsv"
    conda:
        "../envs/slides.yaml"
    params:
        layout=tiling_settings,
        version=VERSION["tile"],
    script:
        "../scripts/tile_slide.py"


rule collect_manifest:
    input:
        slides="<cohort>/sheets/slides.tsv",
        summaries=collect("<cohort>/slides/{slide}/{layout}/tiles.json", slide=slides_of_cohort, allow_missing=True),
        shards=collect("<cohort>/slides/{slide}/{layout}/tiles.tfrecord", slide=slides_of_cohort, allow_missing=True),
    output:
        manifest="<cohort>/{layout}/manifest.tsv",
        exclusions="<cohort>/{layout}/exclusions.tsv",
    log:
        "<cohort>/logs/collect_manifest/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/collect_manifest/{layout}.tsv"
    conda:
        "../envs/slides.yaml"
    params:
        version=VERSION["manifest"],
    script:
        "../scripts/collect_manifest.py"
