"""Predict genes in tiles of another cohort, or of another layout."""

from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    from histocarta.spot_elsewhere import predict_elsewhere  # TensorFlow speaks when it is imported: into the log

    predict_elsewhere(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        windows=snakemake.params.windows,
        learnt=snakemake.params.learnt,
        threads=snakemake.threads,
    )
