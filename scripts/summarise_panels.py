"""Sum up how far gene panels are predicted."""

from histocarta.logs import recorded
from histocarta.panels import summarise_panels

with recorded(snakemake.log[0]):
    summarise_panels(
        associations=snakemake.input.associations,
        predictions=snakemake.input.predictions,
        measured=snakemake.input.measured,
        clinical=snakemake.input.clinical,
        **snakemake.output,
        panels=snakemake.params.panels,
        subtype=snakemake.params.subtype,
        seed=snakemake.params.seed,
    )
