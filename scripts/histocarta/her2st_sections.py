"""What one spatially measured section holds: an image, counts of every gene in its spots, and clusters of the spots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.files import write_table

# Epithelial: where a cluster's spots hold more of it than the section's do on average, carcinoma is dense.
MARKER = "EPCAM"
CLASSES = ("other", "carcinoma")


@dataclass(frozen=True)
class Section:
    """One section: raw counts (spots × genes), where the spots lie (x, y in level-0 px) and their expression cluster.

    All in the order of ``counts``, whose index is the spot's id; a spot that no cluster holds has -1.
    """

    name: str
    image: Path
    counts: pd.DataFrame
    positions: np.ndarray
    clusters: pd.Series


def read_section(folder: Path, name: str) -> Section:
    """The section ``name`` below ``folder``; spots without counts or without a position are left out."""
    files = (f"images/{name}.jpg", f"counts/{name}.tsv.gz", f"spots/{name}.tsv", f"clusters/{name}.tsv.gz")
    image, counts_file, spots_file, clusters_file = (folder / file for file in files)
    for path in (image, counts_file, spots_file, clusters_file):
        if not path.is_file():
            raise InputError(f"Expected {path}, found no such file; give the folder that holds her2st/ as --data")
    counts = pd.read_csv(counts_file, sep="\t", index_col=0)
    spots, clusters = (_by_id(pd.read_csv(path, sep="\t")) for path in (spots_file, clusters_file))
    known = spots.index[spots.index.isin(counts.index)]
    positions = spots.loc[known, ["pixel_x", "pixel_y"]].to_numpy(float)
    return Section(name, image, counts.loc[known], positions, clusters["label"].reindex(known).fillna(-1).astype(int))


def _by_id(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` by the id of its spots, which is their place in the lattice (as in the table of counts)."""
    return table.set_axis(table["x"].astype(str) + "x" + table["y"].astype(str))


def log_shares(counts: pd.DataFrame, genes: Sequence[str]) -> pd.DataFrame:
    """log(1 + counts per 10,000), spots × genes; a gene that the section's table lacks was not counted once."""
    shares = counts.reindex(columns=genes, fill_value=0).div(counts.sum(axis=1), axis=0)
    return np.log1p(1e4 * shares)


def mark_clusters(section: Section) -> pd.Series:
    """Class of every spot (index: its id), by its expression cluster: these stand in for what a pathologist would mark.

    A cluster is carcinoma where its mean MARKER, as log(1 + counts per 10,000), lies above that of all clustered spots.
    Spots without a cluster have a blank.
    """
    marker = log_shares(section.counts, [MARKER])[MARKER]
    known = section.clusters[section.clusters >= 0].index
    high = marker[known].groupby(section.clusters[known]).mean() > marker[known].mean()
    return section.clusters.map(high.map({True: CLASSES[1], False: CLASSES[0]})).fillna("")


def write_sections(
    folder: Path, patients: Mapping[str, Sequence[str]], *, cores: pd.DataFrame, output: Path, mpp: float
) -> None:
    """Write the sheets by which whole sections are a cohort of their own, for the task spots.

    whole-slides.tsv (slide, patient, file, mpp), sections.tsv (slide, counts, spots, annotation) and per section
    classes/{slide}.tsv: spot and class, by expression clusters (:func:`mark_clusters`), which stand in for annotations.
    core-sections.tsv is the same of ``cores`` (slide, section), each measured by the spots within it.
    """
    slides, sections = [], []
    for patient, names in patients.items():
        for name in names:
            classes = output / "classes" / f"{name}.tsv"
            marked = mark_clusters(read_section(folder, name))
            write_table(
                pd.DataFrame({"spot": marked.index, "class": marked.to_numpy()}).query("`class` != ''"), classes
            )
            slides.append((name, patient, (folder / "images" / f"{name}.jpg").as_posix(), mpp))
            paths = (folder / "counts" / f"{name}.tsv.gz", folder / "spots" / f"{name}.tsv", classes)
            sections.append((name, *(path.as_posix() for path in paths)))
    write_table(pd.DataFrame(slides, columns=["slide", "patient", "file", "mpp"]), output / "whole-slides.tsv")
    columns = ["slide", "counts", "spots", "annotation"]
    whole = pd.DataFrame(sections, columns=columns)
    write_table(whole, output / "sections.tsv")
    of_cores = cores[["slide", "section"]].merge(whole, left_on="section", right_on="slide", suffixes=("", "_whole"))
    write_table(of_cores[columns], output / "core-sections.tsv")
