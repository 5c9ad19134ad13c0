"""Draw one slide's heterogeneity map."""

from histocarta.cartography import draw_combination_map
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    draw_combination_map(
        **snakemake.input,
        **snakemake.output,
        traits=snakemake.params.traits,
    )
