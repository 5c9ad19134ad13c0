# Reads:  a cohort's sections (counts and places of spots), its surveys, the windows on the spots and the models of them.
# Writes: each slide's section/ (one form for all formats, held against the tissue); labels of windows; what is predicted in
#         spots beside what was measured, by gene, patient and section; baselines; pictures; files for Scanpy and Squidpy.
# Included where the study has the task spots. The models are trained and scored by training.smk.

SPOTS = STUDY.tasks["spots"]
OF_SPOTS = "results/{cohort}/traits/{trait}/{task,spots}"  # see labels.smk
SECTION = "<cohort>/slides/{slide}/section"
COUNTED = {
    name: collect(f"<cohort>/slides/{{slide}}/section/{name}", slide=slides_of_cohort, allow_missing=True)
    for name in ("counts.h5ad", "section.json")
}


rule read_section:
    input:
        files=section_files_of_slide,
        survey="<cohort>/slides/{slide}/slide.json",
        tissue="<cohort>/slides/{slide}/tissue.png",
        thumbnail="<cohort>/slides/{slide}/thumbnail.png",
    output:
        section_counts=f"{SECTION}/counts.h5ad",
        section_spots=f"{SECTION}/spots.parquet",
        record=f"{SECTION}/section.json",
        registration=report(
            f"{SECTION}/registration.png",
            caption="captions/registration.rst",
            category="Slides",
            labels={"slide": "{slide}", "shows": "spots on tissue"},
        ),
    log:
        "<cohort>/logs/read_section/{slide}.log",
    benchmark:
        "<cohort>/benchmarks/read_section/{slide}.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        row=row_of_section,
        version=VERSION["sections"],
    script:
        "../scripts/read_section.py"


rule gather_counts:
    input:
        manifest="<cohort>/{layout}/manifest.tsv",
        sites=collect("<cohort>/slides/{slide}/{layout}/sites.parquet", slide=slides_of_cohort, allow_missing=True),
        counts=COUNTED["counts.h5ad"],
        records=COUNTED["section.json"],
    output:
        gathered="<cohort>/{layout}/counts.h5ad",
    log:
        "<cohort>/logs/gather_counts/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/gather_counts/{layout}.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=16000,
    params:
        slides=slides_of_cohort,
        version=VERSION["spot_counts"],
    script:
        "../scripts/gather_counts.py"


rule label_spots:
    input:
        counts=f"<cohort>/{SPOTS.layout}/counts.h5ad",
        split=splits_of_task,
    output:
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
    log:
        "<cohort>/logs/label_spots/{trait}/{task}.log",
    benchmark:
        "<cohort>/benchmarks/label_spots/{trait}/{task}.txt"
    pathvars:
        trait=OF_SPOTS,
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=16000,
    params:
        trait="{trait}",
        choice=genes_of_trait,
        settings=SPOTS.labels.model_dump(),
        selected_on=STUDY.choice("spot_genes_selected_on"),
        seed=STUDY.seed,
        version=VERSION["spot_labels"],
    script:
        "../scripts/label_spots.py"


rule evaluate_spots:
    input:
        scores="<trait>/consensus/scores.parquet",
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
    output:
        genes=report(
            "<trait>/consensus/genes.tsv",
            caption="captions/spot-genes.rst",
            category="Performance",
            labels={"trait": "{trait}", "task": "spots"},
        ),
        sections="<trait>/consensus/sections.tsv",
        patients="<trait>/consensus/patients.tsv",
        curve="<trait>/consensus/curve.tsv",
        evaluation="<trait>/consensus/evaluation.json",
    log:
        "<cohort>/logs/evaluate_spots/{trait}/{task}.log",
    benchmark:
        "<cohort>/benchmarks/evaluate_spots/{trait}/{task}.txt"
    pathvars:
        trait=OF_SPOTS,
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        settings={"permutations": SPOTS.permutations, "classes": SPOTS.classes, "seed": STUDY.seed},
        version=VERSION["spot_evaluation"],
    script:
        "../scripts/evaluate_spots.py"


rule export_spots:
    input:
        scores="<trait>/consensus/scores.parquet",
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
        genes="<trait>/consensus/genes.tsv",
        counts=f"{SECTION}/counts.h5ad",
        record=f"{SECTION}/section.json",
        survey="<cohort>/slides/{slide}/slide.json",
        thumbnail="<cohort>/slides/{slide}/thumbnail.png",
    output:
        exported="<trait>/consensus/predictions/{slide}.h5ad",
    log:
        "<cohort>/logs/export_spots/{trait}/{slide}.log",
    benchmark:
        "<cohort>/benchmarks/export_spots/{trait}/{slide}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/spots",
    conda:
        "../envs/statistics.yaml"
    params:
        slide="{slide}",
        version=VERSION["spot_export"],
    script:
        "../scripts/export_spots.py"


# Asked for by its path; it needs the extra histocarta[spatialdata]. A Zarr store is a folder by its format.
rule store_spatialdata:
    input:
        exported="<trait>/consensus/predictions/{slide}.h5ad",
    output:
        stored=directory("<trait>/consensus/predictions/{slide}.zarr"),
    log:
        "<cohort>/logs/store_spatialdata/{trait}/{slide}.log",
    benchmark:
        "<cohort>/benchmarks/store_spatialdata/{trait}/{slide}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/spots",
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["spot_export"],
    script:
        "../scripts/store_spatialdata.py"
