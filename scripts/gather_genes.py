"""Bring what traits with a model each were predicted to be into one table."""

from histocarta.logs import recorded
from histocarta.predictions import gather_genes

with recorded(snakemake.log[0]):
    gather_genes(**snakemake.input, **snakemake.output)
