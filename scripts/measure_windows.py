"""Measure colour and nuclei in every window on a spot."""

from histocarta.logs import recorded
from histocarta.spot_features import measure_spots

with recorded(snakemake.log[0]):
    measure_spots(
        **snakemake.input,
        **snakemake.output,
        processes=snakemake.threads,
    )
