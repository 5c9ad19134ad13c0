"""Hold the network against its baselines, gene by gene."""

from histocarta.logs import recorded
from histocarta.spot_results import compare_baselines

with recorded(snakemake.log[0]):
    compare_baselines(
        **snakemake.input,
        **snakemake.output,
        names=snakemake.params.names,
    )
