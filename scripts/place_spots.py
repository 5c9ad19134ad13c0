"""Find the tile under every measured spot of a cohort."""

from histocarta.logs import recorded
from histocarta.spot_agreement import place_spots

with recorded(snakemake.log[0]):
    place_spots(
        **snakemake.input,
        **snakemake.output,
        slides=snakemake.params.slides,
    )
