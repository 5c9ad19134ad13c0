"""Hold the predictions of genes with a network each in regions against what was measured there."""

from histocarta.logs import recorded
from histocarta.rois import validate_traits

with recorded(snakemake.log[0]):
    validate_traits(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.values,
        probe_sum=snakemake.params.probe_sum,
    )
