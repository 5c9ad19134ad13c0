"""Bring what the networks of all jobs predict into one table."""

from histocarta.logs import recorded
from histocarta.predictions import gather_jobs

with recorded(snakemake.log[0]):
    gather_jobs(**snakemake.input, **snakemake.output, standardise=snakemake.params.standardise)
