"""The latent space of each patient left out, as tables and pictures: plane, clusters, neighbours, typical windows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import simplejpeg
from matplotlib.figure import Figure

from histocarta import latent_space
from histocarta.colours import combination_colours
from histocarta.figures import png
from histocarta.files import read_json, read_table, replacing, write_json, write_table
from histocarta.spot_results import ranked_gene
from histocarta.tilestore import read_shard

KEYS = ["slide", "row", "col"]
COLUMNS = [*KEYS, "patient", "round", "class", "umap_x", "umap_y", "cluster", "share_of_class"]
PATIENTS, WINDOWS = 6, 4  # drawn; windows of either kind for each class
GREY = np.array([0.75, 0.75, 0.75])


def chart_latent(
    *,
    latent: str,
    labels: str,
    summary: str,
    genes: str,
    manifest: str,
    table: str,
    of_genes: str,
    record: str,
    picture: str,
    patches: str,
    classes: Mapping[str, Sequence[str]],
    seed: int,
) -> None:
    """Chart each patient's spots in the space of the round that tests it, never two rounds in one (He 2020, Fig. 4).

    latent : slide, row, col, round, features. labels, summary, genes : of the trait. classes : names of groups of
    annotated classes; without any the annotation itself. A patient that several rounds test is charted in the first.
    ``table``: COLUMNS, a row per spot. ``of_genes``: r of each gene with its nearest and farthest neighbour.
    ``record``: purity and distances per patient and their mean. ``picture``: planes by class and by the best gene.
    ``patches``:
    windows among whose neighbours in the plane most, and fewest, are of their class.
    """
    facts, found = read_json(summary), read_table(latent)
    spots = found.merge(read_table(labels), on=KEYS).sort_values(["round", *KEYS], kind="stable")
    spots = spots[spots["target"].notna()].drop_duplicates(KEYS) if len(spots) else spots
    spots["class"] = group_classes(spots["annotation"], classes)
    parts, told, near, far = [], [], [], []
    for patient, own in spots.groupby("patient", observed=True):
        own = own[own["round"] == own["round"].min()].reset_index(drop=True)
        charted, row, both = chart_patient(own, lattices=own["slide"].map(facts["lattice"]).tolist(), seed=seed)
        parts.append(charted)
        told.append({"patient": patient, **row})
        near.append(both[0])
        far.append(both[1])
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*COLUMNS, "target"])
    write_table(whole.reindex(columns=COLUMNS), table)
    none = [np.full(len(facts["genes"]), np.nan)]
    write_table(latent_space.gene_medians(facts["genes"], near or none, far or none), of_genes)
    write_json({"trait": facts["trait"], "patients": told, **_over_patients(told)}, record)
    gene = ranked_gene(read_table(genes), place="first")
    whole = whole.reindex(columns=[*COLUMNS, "target"])
    shown = whole[whole["patient"].isin(sorted(whole["patient"].unique())[:PATIENTS])]
    _write(plane_figure(shown, gene=gene, number=facts["genes"].index(gene) if gene else -1), picture)
    _write(patch_figure(typical_windows(whole), read_table(manifest)), patches)


def group_classes(annotation: pd.Series, classes: Mapping[str, Sequence[str]]) -> pd.Series:
    """The name of the first group that holds a spot's annotated class, blank where none does."""
    if not classes:
        return annotation.fillna("")
    names = {member: name for name, members in reversed(classes.items()) for member in members}
    return annotation.map(names).fillna("")


def chart_patient(
    own: pd.DataFrame, *, lattices: Sequence[str], seed: int
) -> tuple[pd.DataFrame, dict[str, Any], tuple[np.ndarray, np.ndarray]]:
    """One patient's spots with their places in the plane, the figures, and r with the neighbours by gene."""
    features = np.stack(own["features"]).astype(np.float64)
    values, named = np.stack(own["target"]).astype(float), own["class"].to_numpy(str)
    missing = np.full(values.shape[1], np.nan)
    if len(own) < latent_space.FEWEST:
        row = {"spots": len(own), "reason": f"{len(own)} spots, need {latent_space.FEWEST}"}
        row |= dict.fromkeys(("purity", "chance", "distance", "distance_by_chance"), np.nan) | {"classes": []}
        return own.drop(columns="features").assign(cluster=-1), row, (missing, missing)
    clusters, row = latent_space.cluster_purity(features, named, seed=seed)
    plane = latent_space.map_plane(features, seed=seed)
    distance, chance = latent_space.distance_of_nearest(features, own)
    row |= {"spots": len(own), "distance": distance, "distance_by_chance": chance}
    both = latent_space.neighbour_correlations(features, values, own, lattices=lattices)
    share = latent_space.share_of_class(plane, named)
    charted = own.assign(umap_x=plane[:, 0], umap_y=plane[:, 1], cluster=clusters, share_of_class=share)
    return charted.drop(columns="features"), row, both


def typical_windows(spots: pd.DataFrame) -> pd.DataFrame:
    """Of each class the WINDOWS spots with the highest share of their class around them, and with the lowest."""
    known = spots[spots["class"].ne("") & spots["share_of_class"].notna()]
    parts = []
    for _, own in known.sort_values(["share_of_class", *KEYS], kind="stable").groupby("class"):
        number = min(WINDOWS, len(own) // 2)
        parts += [own.tail(number).assign(kind="representative"), own.head(number).assign(kind="atypical")]
    return pd.concat(parts) if parts else known.assign(kind="")


def plane_figure(spots: pd.DataFrame, *, gene: str, number: int) -> Figure:
    """A row per patient: its plane by class, and by the measured values of ``gene`` (``number`` in target)."""
    mapped = spots.dropna(subset=["umap_x"])
    patients = sorted(mapped["patient"].unique())
    figure = Figure(figsize=(8.6, 3.4 * max(len(patients), 1)), layout="constrained")
    if not patients:
        figure.text(0.02, 0.5, f"no patient with {latent_space.FEWEST} spots")
        return figure
    names = sorted(set(mapped["class"]) - {""})
    colours = dict(zip(names, combination_colours(len(names)) / 255, strict=True))
    for axes, patient in zip(figure.subplots(len(patients), 2, squeeze=False), patients, strict=True):
        own = mapped[mapped["patient"] == patient]
        xy = own[["umap_x", "umap_y"]].to_numpy()
        axes[0].scatter(*xy.T, s=10, c=[colours.get(name, GREY) for name in own["class"]], linewidths=0)
        for name in names:
            axes[0].scatter([], [], color=[colours[name]], label=name)
        axes[0].set_title(f"{patient}: class", fontsize=10)
        values = [target[number] for target in own["target"]] if gene else np.zeros(len(own))
        dots = axes[1].scatter(*xy.T, s=10, c=values, cmap="viridis", linewidths=0)
        axes[1].set_title(f"{patient}: {gene or 'no gene'}, measured", fontsize=10)
        figure.colorbar(dots, ax=axes[1])
        for axis in axes:
            axis.set(xticks=[], yticks=[], aspect="equal")
        if names:
            axes[0].legend(fontsize=7, frameon=False)
    return figure


def patch_figure(windows: pd.DataFrame, manifest: pd.DataFrame) -> Figure:
    """The windows of :func:`typical_windows`, a row per class and kind."""
    rows = list(windows.groupby(["class", "kind"], sort=True)) if len(windows) else []
    figure = Figure(figsize=(1.6 * WINDOWS + 1.6, 1.7 * max(len(rows), 1)), layout="constrained")
    if not rows:
        figure.text(0.02, 0.5, "no spot has a class and neighbours with one")
        return figure
    pixels = read_windows(windows, manifest)
    for axes, ((name, kind), own) in zip(figure.subplots(len(rows), WINDOWS, squeeze=False), rows, strict=True):
        for axis in axes:
            axis.axis("off")
        axes[0].set_title(f"{name}, {kind}", fontsize=9, loc="left")
        for axis, spot in zip(axes, own.to_dict("records"), strict=False):
            axis.imshow(pixels[spot["slide"], spot["row"], spot["col"]])
    return figure


def read_windows(windows: pd.DataFrame, manifest: pd.DataFrame) -> dict[tuple[str, int, int], np.ndarray]:
    """The pixels (uint8, H × W × 3) of some windows by slide, row and col."""
    shards, found = manifest.set_index("slide")["shard"], {}
    for slide, own in windows.groupby("slide"):
        wanted = set(zip(own["row"], own["col"], strict=True))
        for row, col, jpeg in read_shard(shards[slide]):
            if (row, col) in wanted:
                found[slide, row, col] = simplejpeg.decode_jpeg(jpeg)
    return found


def _over_patients(told: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean and standard deviation of the purity, mean by chance, and medians of the distances, over patients."""
    table = pd.DataFrame(told, columns=["purity", "chance", "distance", "distance_by_chance"], dtype=float)
    mean = {f"mean_{name}": table[name].mean() for name in ("purity", "chance")}
    medians = {f"median_{name}": table[name].median() for name in ("distance", "distance_by_chance")}
    return mean | {"sd_purity": table["purity"].std()} | medians


def _write(figure: Figure, path: str) -> None:
    with replacing(path) as draft:
        Path(draft).write_bytes(png(figure))
