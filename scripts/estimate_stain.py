"""Estimate one slide's stain from its tissue."""

from histocarta.logs import recorded
from histocarta.stain import estimate_stain

with recorded(snakemake.log[0]):
    estimate_stain(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.layout,
        seed=snakemake.params.seed,
    )
