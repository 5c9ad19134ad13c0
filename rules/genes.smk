# Reads:  the study. Writes: nothing itself. Includes the rules of a regression where the study has one: genes one by one, many
#         to a job, or all at once.
if "regression" in STUDY.tasks:
    IN_JOBS = not STUDY.tasks["regression"].one_by_one()

    include: "associations.smk"

    if IN_JOBS or STUDY.tasks["regression"].transcriptome:

        include: "gene_labels.smk"

    if IN_JOBS:

        include: "gene_jobs.smk"

    else:

        include: "single_genes.smk"

    if STUDY.tasks["regression"].transcriptome:

        include: "transcriptome.smk"
        include: "controls.smk"
        include: "rois.smk"

    if any(cohort.external_to for cohort in STUDY.cohorts.values()):

        include: "external.smk"

        if IN_JOBS:

            include: "external_jobs.smk"

        if STUDY.tasks["regression"].transcriptome:

            include: "external_at_once.smk"
