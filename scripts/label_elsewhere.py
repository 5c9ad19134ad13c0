"""Label another cohort's windows with the genes of a model."""

from histocarta.logs import recorded
from histocarta.spot_transfer import label_elsewhere

with recorded(snakemake.log[0]):
    label_elsewhere(
        **snakemake.input,
        **snakemake.output,
    )
