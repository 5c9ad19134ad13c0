"""Score the slides of an external cohort with the models of one gene."""

from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    from histocarta.gene_scores import score_gene  # TensorFlow speaks when it is imported: into the log

    score_gene(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        trait=snakemake.params.trait,
        threads=snakemake.threads,
    )
