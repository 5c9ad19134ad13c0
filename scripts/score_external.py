"""Predict all genes in the slides of an external cohort by the rounds' linear heads."""

from histocarta.external_scores import score_by_heads
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    score_by_heads(**snakemake.input, **snakemake.output, standardise=snakemake.params.standardise)
