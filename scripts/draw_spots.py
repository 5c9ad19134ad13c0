"""Draw a gene as it was measured and predicted in a slide's spots."""

from histocarta.logs import recorded
from histocarta.spot_results import draw_ranked

with recorded(snakemake.log[0]):
    draw_ranked(
        **snakemake.input,
        **snakemake.output,
        places=snakemake.params.places,
    )
