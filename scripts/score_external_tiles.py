"""Score an external cohort's tiles by the mean of all rounds' models."""

from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    from histocarta.inference import score_together  # TensorFlow speaks when it is imported: into the log

    score_together(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        threads=snakemake.threads,
    )
