"""Which results are still current: a number per stage, raised by hand when its results change."""

import platform
from importlib.metadata import PackageNotFoundError, version

# Editing the package does not rerun a rule (Snakemake watches scripts and params only); raising a number here does,
# because every rule but a download carries it as a param.
VERSION = {
    "sheets": 2,
    "image": 2,
    "survey": 2,
    "stain": 2,
    "tile": 2,
    "manifest": 2,
    "regions": 1,
    "split": 2,
    "label": 2,
    "values": 1,
    "genes": 1,
    "features": 1,
    "probe": 1,
    "genes_predicted": 1,
    "controls": 1,
    "rois": 2,
    "external": 1,
    "panels": 1,
    "contrasts": 1,
    "enrichment": 1,
    "statuses": 1,
    "train": 2,
    "predict": 1,
    "vote_consensus": 2,
    "average_rounds": 1,
    "average_tiles": 1,
    "heterogeneity": 1,
    "survival": 4,
    "map": 1,
    "value_map": 1,
    "spots": 1,
    "sections": 2,
    "spot_counts": 1,
    "spot_labels": 1,
    "join_spots": 1,
    "spot_evaluation": 1,
    "spot_baselines": 1,
    "spot_sets": 1,
    "spot_latent": 1,
    "spot_bulk": 1,
    "spot_explained": 1,
    "spot_export": 1,
    "spot_pictures": 1,
    "table": 1,
    "associations": 1,
    "ledger": 1,
    "report": 3,
}

LIBRARIES = (
    "histocarta", "snakemake", "tensorflow", "keras", "jax", "jaxlib", "numpy", "pandas", "scipy", "scikit-learn",
    "statsmodels", "lifelines", "opencv-python-headless", "openslide-python", "openslide-bin", "pyvips-binary",
    "simplejpeg",
)  # fmt: skip


def software() -> dict[str, str]:
    """Versions of Python and of the libraries that decide results; ``not installed`` where one is absent."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
