"""Score all tiles with all rounds' models in one pass."""

from histocarta.inference import score_tiles
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    score_tiles(
        **snakemake.input,
        **snakemake.output,
        batch=snakemake.params.batch,
        precision=snakemake.params.precision,
        gpus=snakemake.params.gpus,
        threads=snakemake.threads,
    )
