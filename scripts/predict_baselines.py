"""Predict genes in spots without a network."""

from histocarta.logs import recorded
from histocarta.spot_baselines import predict_baselines

with recorded(snakemake.log[0]):
    predict_baselines(
        features=snakemake.input.features,
        labels=snakemake.input.labels,
        spots=snakemake.input.labels,
        summary=snakemake.input.summary,
        splits=snakemake.input.splits,
        **snakemake.output,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
    )
