"""Attribute a gene's predictions to the pixels of windows."""

from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    from histocarta.spot_attribution import attribute_gene  # TensorFlow speaks when it is imported: into the log

    attribute_gene(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        gene=snakemake.wildcards.gene,
        threads=snakemake.threads,
    )
