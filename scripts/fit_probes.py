"""Fit a ridge regression of all genes on features, in every round."""

from histocarta.logs import recorded
from histocarta.probe import fit_probes

with recorded(snakemake.log[0]):
    fit_probes(**snakemake.input, **snakemake.output, penalties=snakemake.params.penalties)
