"""How a gene panel is drawn: what was measured beside what was predicted, rows and columns in one order."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage

LIMIT = 2.5  # standard deviations at the ends of the colours
LABELLED = 60  # genes whose names can be read


def panel_heatmaps(scaled: Mapping[str, pd.DataFrame], *, panel: str) -> Figure:
    """Genes × test samples in standard deviations (Wang 2021, Fig. S2): both in the order that the measured make.

    scaled : "measured" and "predicted", samples × genes (:func:`panels.scale_panel`).
    """
    measured = scaled["measured"].to_numpy()
    rows, columns = _order(measured.T), _order(measured)
    genes = scaled["measured"].columns[rows]
    height = min(9.0, 1.2 + 0.13 * min(len(genes), LABELLED))
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, end in zip(axes, ("measured", "predicted"), strict=True):
        values = scaled[end].to_numpy().T[np.ix_(rows, columns)]
        image = ax.imshow(values, cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT, aspect="auto", interpolation="nearest")
        ax.set_title(f"{panel}, {end}", fontsize=10)
        ax.set_xticks([])
        ax.set_xlabel(f"{len(columns)} test samples", fontsize=8)
    if len(genes) <= LABELLED:
        axes[0].set_yticks(range(len(genes)), genes, fontsize=6)
    else:
        axes[0].set_yticks([])
    figure.colorbar(image, ax=axes, shrink=0.6, label="standard deviations")
    return figure


def _order(values: np.ndarray) -> np.ndarray:
    """The rows in the order of their tree (average linkage of 1 - Pearson's correlation)."""
    return leaves_list(linkage(values, "average", metric="correlation"))
