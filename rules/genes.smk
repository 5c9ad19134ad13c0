# Reads:  the study. Writes: nothing itself. Includes the rules of a regression where the study has one, and those of all genes
#         at once where it asks for them.
if "regression" in STUDY.tasks:

    include: "associations.smk"

    if STUDY.tasks["regression"].transcriptome:

        include: "transcriptome.smk"
        include: "controls.smk"
        include: "rois.smk"
