"""Compare what a model of spots predicts with the cartography of the same genes on the same tissue."""

from histocarta.logs import recorded
from histocarta.spot_cartography import compare_cartography

with recorded(snakemake.log[0]):
    compare_cartography(
        **snakemake.input,
        **snakemake.output,
        slides=snakemake.params.slides,
    )
