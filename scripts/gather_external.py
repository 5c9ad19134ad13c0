"""Bring what genes with models of their own predict of an external cohort into one table."""

from histocarta.external_scores import gather_scores
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    gather_scores(**snakemake.input, **snakemake.output, standardise=snakemake.params.standardise)
