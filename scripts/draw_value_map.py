"""Draw one slide's map of one trait's predicted values."""

from histocarta.heatmaps import draw_value_map
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    draw_value_map(
        **snakemake.input,
        **snakemake.output,
        trait=snakemake.wildcards.trait,
    )
