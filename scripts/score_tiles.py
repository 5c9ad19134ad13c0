"""Score all tiles with all rounds' models in one pass."""

from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    from histocarta.inference import score_tiles  # TensorFlow speaks when it is imported: into the log

    score_tiles(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        threads=snakemake.threads,
    )
