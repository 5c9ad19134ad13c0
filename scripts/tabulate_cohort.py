"""Gather all traits' metrics in one table."""

from histocarta.evaluation import tabulate_cohort
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    tabulate_cohort(
        **snakemake.input,
        **snakemake.output,
    )
