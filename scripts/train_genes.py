"""Train the networks of one job's genes on one stream of tiles."""

from histocarta.logs import recorded
from histocarta.preemption import outlast_sigterm

with recorded(snakemake.log[0]):
    outlast_sigterm()
    from histocarta.gene_jobs import train_genes  # TensorFlow speaks when it is imported: into the log

    train_genes(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        job=snakemake.params.job,
        number=snakemake.params.round,
        state_dir=snakemake.params.state_dir,
        threads=snakemake.threads,
        staging=snakemake.resources.get("staging"),
    )
