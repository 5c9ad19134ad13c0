"""Whether the mean of a gene's predictions over a patient's tiles, a pseudo-bulk, follows its bulk expression."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from histocarta.correlations import associate_columns
from histocarta.evaluation import benjamini_hochberg
from histocarta.figures import HIGH, LOW, png
from histocarta.files import read_table, replacing, write_json, write_table
from histocarta.samples import name_samples
from histocarta.spot_statistics import pearson

PLACE = ["slide", "row", "col"]
FDR = 0.05


def compare_bulk(*, scores: str, slides: str, expression: str, table: str, record: str, picture: str) -> None:
    """Correlate every gene's pseudo-bulk with its bulk expression over patients (He 2020, Fig. 2d).

    scores : slide, row, col, a column per gene, of each tile. slides : the cohort's sheet (slide, patient).
    expression : samples (slides, or patients) × genes. A row of ``table`` per gene that is predicted: r (Pearson's)
    with its p, rho (Spearman's), n, fdr of Benjamini–Hochberg over all genes tried, where one that is constant, or is
    not in the table of bulk, has p = 1 and its reason. ``record``: how many are positive, and significant either way
    (He 2020: 177 of 249, 55 and 0 over 1,093 patients of TCGA).
    """
    bulk = pd.read_parquet(expression)
    means = sample_means(read_table(scores), read_table(slides), bulk.index, expression=expression)
    found = correlate_bulk(means, bulk.reindex(means.index))
    write_table(found, table)
    small = pd.to_numeric(found["fdr"]) <= FDR
    told = {"n_samples": len(means), "n_genes": len(found), "positive": int((found["r"] > 0).sum()),
            "defined": int(found["r"].notna().sum()), "significant_positive": int((small & (found["r"] > 0)).sum()),
            "significant_negative": int((small & (found["r"] < 0)).sum()), "fdr": FDR,
            "median_r": float(found["r"].median())}  # fmt: skip
    write_json(told, record)
    with replacing(picture) as draft:
        Path(draft).write_bytes(png(bulk_figure(found, told)))


def sample_means(predicted: pd.DataFrame, slides: pd.DataFrame, samples: pd.Index, *, expression: str) -> pd.DataFrame:
    """The mean prediction of each sample's tiles: of a slide's tiles, then of its slides; samples × genes.

    A slide without a sample in the table of bulk is left out.
    """
    genes = [name for name in predicted if name not in PLACE]
    of_slides = predicted.groupby("slide")[genes].mean()
    known = slides[slides["slide"].isin(of_slides.index)].reset_index(drop=True)
    if known.empty:
        return pd.DataFrame(columns=genes, dtype=float)
    sample = name_samples(known, samples, expression=expression)
    means = of_slides.loc[known["slide"]].groupby(sample.to_numpy()).mean()
    return means[means.index != ""]


def correlate_bulk(means: pd.DataFrame, bulk: pd.DataFrame) -> pd.DataFrame:
    """gene, n, r, p, rho, fdr, reason of every column of ``means``; ``bulk`` has the same rows."""
    from scipy import stats

    symbols = {name.split("|")[0]: name for name in reversed([*map(str, bulk)])}
    rows = []
    for gene in means:
        if gene not in symbols:
            rows.append({"gene": gene, "n": 0, "r": np.nan, "p": np.nan, "rho": np.nan, "reason": "not in the bulk"})
            continue
        both = pd.DataFrame({"x": means[gene], "y": bulk[symbols[gene]].to_numpy(float)}).dropna()
        x, y = both["x"].to_numpy(), both["y"].to_numpy()
        r = float(pearson(x[:, None], y[:, None])[0])
        reason = "" if np.isfinite(r) else (f"{len(x)} samples" if len(x) < 3 else "constant")
        p = float(stats.pearsonr(x, y).pvalue) if np.isfinite(r) else np.nan
        rho = float(associate_columns(x[:, None], y[:, None])["rho"].iloc[0])
        rows.append({"gene": gene, "n": len(x), "r": r, "p": p, "rho": rho, "reason": reason})
    found = pd.DataFrame(rows, columns=["gene", "n", "r", "p", "rho", "reason"])
    found.insert(5, "fdr", benjamini_hochberg(found["p"].fillna(1.0).to_numpy(float)))
    return found.sort_values("r", ascending=False, kind="stable", na_position="last", ignore_index=True)


def bulk_figure(found: pd.DataFrame, told: dict) -> Figure:
    """The genes' r in order, those with a small FDR in colour, and the counts (He 2020, Fig. 2d)."""
    known = found.dropna(subset=["r"])
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    small = known["fdr"].to_numpy(float) <= FDR
    colour = np.where(small, np.where(known["r"] > 0, HIGH, LOW), "0.7")
    axis.bar(np.arange(len(known)), known["r"], width=1.0, color=colour)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set(xlabel="genes", ylabel="r over samples", xticks=[])
    axis.set_title(
        f"{told['positive']} of {told['n_genes']} genes with r > 0; FDR ≤ {FDR}: {told['significant_positive']} "
        f"positive, {told['significant_negative']} negative; {told['n_samples']} samples", fontsize=9,
    )  # fmt: skip
    return figure
