"""Predict all genes from what needs no learning, and from shuffled values."""

from histocarta.controls import predict_controls
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    predict_controls(
        **snakemake.input,
        **snakemake.output,
        penalties=snakemake.params.penalties,
        standardise=snakemake.params.standardise,
        seed=snakemake.params.seed,
    )
