"""Clean a cohort's sheets once: slides, expression, clinical data; name every row left out."""

from histocarta.cohort import prepare_cohort
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    prepare_cohort(
        **snakemake.output,
        **snakemake.params.cohort,
    )
