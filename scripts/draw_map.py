"""Draw one slide's cartography of one trait."""

from histocarta.cartography import draw_map
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    draw_map(
        **snakemake.input,
        **snakemake.output,
        trait=snakemake.wildcards.trait,
    )
