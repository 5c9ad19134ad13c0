"""Draw how many genes are consistent in how many patients."""

from histocarta.logs import recorded
from histocarta.spot_pictures import draw_consistent_curve

with recorded(snakemake.log[0]):
    draw_consistent_curve(
        **snakemake.input,
        **snakemake.output,
    )
