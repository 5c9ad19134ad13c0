"""Account for every slide, patient, trait and tile."""

from histocarta.ledger import write_ledger
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    write_ledger(
        **snakemake.input,
        **snakemake.output,
        layouts=snakemake.params.layouts,
        max_excluded=snakemake.params.max_excluded,
    )
