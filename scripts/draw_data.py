"""Draw how many spots, genes and counts the sections have."""

from histocarta.logs import recorded
from histocarta.spot_pictures import draw_data_panels

with recorded(snakemake.log[0]):
    draw_data_panels(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.who,
    )
