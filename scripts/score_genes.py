"""Score all slides with the networks of one job's genes."""

from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    from histocarta.gene_scores import score_genes  # TensorFlow speaks when it is imported: into the log

    score_genes(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        threads=snakemake.threads,
    )
