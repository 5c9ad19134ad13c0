"""Find the gene sets of which many genes are predicted in spots."""

from histocarta.logs import recorded
from histocarta.spot_sets import represent_predicted

with recorded(snakemake.log[0]):
    represent_predicted(
        **snakemake.input,
        **snakemake.output,
    )
