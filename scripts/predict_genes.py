"""Predict all genes in every slide by the rounds' linear heads."""

from histocarta.logs import recorded
from histocarta.predictions import predict_genes

with recorded(snakemake.log[0]):
    predict_genes(**snakemake.input, **snakemake.output, standardise=snakemake.params.standardise)
