"""Keep what models of spots see in the windows that they are tested on."""

from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    from histocarta.spot_latent import embed_spots  # TensorFlow speaks when it is imported: into the log

    embed_spots(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        threads=snakemake.threads,
    )
