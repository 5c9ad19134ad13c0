"""Hold the predictions of genes that were trained in jobs of many in regions against what was measured there."""

from histocarta.logs import recorded
from histocarta.rois import validate_jobs

with recorded(snakemake.log[0]):
    validate_jobs(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.values,
        standardise=snakemake.params.standardise,
        probe_sum=snakemake.params.probe_sum,
    )
