"""Train one trait's model of one or more rounds."""

from histocarta.logs import recorded
from histocarta.preemption import outlast_sigterm

with recorded(snakemake.log[0]):
    outlast_sigterm()
    from histocarta.training import train_rounds  # TensorFlow speaks when it is imported: into the log

    train_rounds(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        rounds=snakemake.params.rounds,
        state_dir=snakemake.params.state_dir,
        threads=snakemake.threads,
        staging=snakemake.resources.get("staging"),
    )
