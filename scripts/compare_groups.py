"""Test every gene between two groups of patients."""

from histocarta.contrasts import compare_groups
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    compare_groups(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.contrast,
    )
