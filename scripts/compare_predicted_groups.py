"""Test every gene between two groups, as predicted and as measured."""

from histocarta.contrasts import compare_predicted_groups
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    compare_predicted_groups(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.contrast,
    )
