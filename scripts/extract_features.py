"""Keep what a network sees in every tile."""

from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    from histocarta.features import extract_features  # TensorFlow speaks when it is imported: into the log

    extract_features(
        manifest=snakemake.input.manifest,
        model=snakemake.input.get("model") or None,
        **snakemake.output,
        **snakemake.params.call,
        threads=snakemake.threads,
    )
