"""Hold predicted expression against columns of the clinical sheet."""

from histocarta.logs import recorded
from histocarta.statuses import compare_statuses

with recorded(snakemake.log[0]):
    compare_statuses(
        predictions=snakemake.input.predictions,
        measured=snakemake.input.measured,
        clinical=snakemake.input.clinical,
        **snakemake.output,
        statuses=snakemake.params.statuses,
        panels=snakemake.params.panels,
    )
