"""Hold what is predicted in spots against what was measured."""

from histocarta.logs import recorded
from histocarta.spot_results import evaluate_ways

with recorded(snakemake.log[0]):
    evaluate_ways(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.settings,
    )
