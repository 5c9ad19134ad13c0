"""How predicted expression is drawn: one gene's slides, and the figures of many genes (Wang 2021, Fig. 1 and S1)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from histocarta.figures import HIGH, LOW


def fit_scatter(slides: pd.DataFrame, *, trait: str) -> Figure:
    """Predicted against measured expression of the test slides (part, value, score); line: equality."""
    figure = Figure(figsize=(2.6, 2.4), layout="constrained")  # as large as a gallery shows it
    axes = figure.subplots()
    tested = slides[(slides["part"] == "test") & slides["value"].notna()]
    axes.scatter(tested["value"], tested["score"], s=10, color=LOW, alpha=0.7, linewidths=0)
    if len(tested):
        ends = [tested["value"].min(), tested["value"].max()]
        axes.plot(ends, ends, color="0.7", linewidth=0.8, zorder=0)
    axes.set(xlabel="measured", ylabel="predicted")
    axes.set_title(trait, fontsize=10)
    axes.tick_params(labelsize=8)
    return figure


def concordance(first: pd.Series, second: pd.Series, *, names: tuple[str, str]) -> Figure:
    """Spearman's rho of the same genes in two sets (Wang 2021, Fig. S1C-E), with the correlation of the two."""
    figure = Figure(figsize=(3.0, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.scatter(first, second, s=5, color=LOW, alpha=0.5, linewidths=0)
    axes.axline((0, 0), slope=1, color="0.7", linewidth=0.8)
    axes.set(xlabel=f"ρ, {names[0]}", ylabel=f"ρ, {names[1]}")
    axes.set_title(f"{len(first)} genes: Spearman {first.corr(second, method='spearman'):.2f}", fontsize=9)
    axes.tick_params(labelsize=8)
    return figure


def fit_histograms(genes: pd.DataFrame) -> Figure:
    """Histograms of test_rho and test_r2 (a row per gene; below -1 counts as -1), and rho against the variance."""
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    rho, r2, spread = figure.subplots(1, 3)
    rho.hist(genes["test_rho"].dropna(), bins=np.linspace(-1, 1, 41), color=LOW)
    rho.axvline(0, color="0.5", linewidth=0.8)
    rho.set(xlabel="Spearman ρ", ylabel="genes")
    r2.hist(genes["test_r2"].dropna().clip(lower=-1), bins=np.linspace(-1, 1, 41), color=LOW)
    r2.axvline(0, color="0.5", linewidth=0.8)
    r2.set(xlabel="R² (-1 and below in the first bar)", ylabel="genes")
    shown = genes.dropna(subset=["variance", "test_rho"])
    spread.scatter(shown["variance"], shown["test_rho"], s=4, color=LOW, alpha=0.4, linewidths=0)
    if len(shown) >= 20 and shown["variance"].nunique() > 4:
        groups = shown.groupby(pd.qcut(shown["variance"], 5, duplicates="drop"), observed=True)
        middle = groups[["variance", "test_rho"]].median()
        spread.plot(middle["variance"], middle["test_rho"], color=HIGH, marker="o", markersize=4, label="median")
        spread.legend(fontsize=7)
    spread.set(xlabel="variance of the expression", ylabel="Spearman ρ", xscale="log")
    return figure
