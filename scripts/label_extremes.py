"""Label slides by the extremes of one trait."""

from histocarta.labels import label_extremes
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    label_extremes(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.settings,
        trait=snakemake.params.trait,
        fitted_on=snakemake.params.fitted_on,
    )
