"""Hold all genes' predictions in regions against what was measured there."""

from histocarta.logs import recorded
from histocarta.rois import validate_rois

with recorded(snakemake.log[0]):
    validate_rois(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.values,
        standardise=snakemake.params.standardise,
        probe_sum=snakemake.params.probe_sum,
    )
