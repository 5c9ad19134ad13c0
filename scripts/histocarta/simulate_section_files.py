"""How a synthetic section is written in the formats of the field: tables of Spatial Transcriptomics, Visium folders.

All writers take the folder of the study, the slide's name and

    spots   : row, col, x_px, y_px (level-0 px), selected (0 or 1), annotation; all spots of the lattice
    counts  : integers, spots that are selected × genes, in the order of ``spots``
    rgb     : the slide's level 0, uint8 (height, width, 3); of use to Visium only
    pitch, diameter : of the spots, level-0 px; the first of use to ST only, the second to Visium
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from histocarta.files import replacing, write_table

LETTERS = np.array(list("ACGT"))
BARCODE = 16  # letters
SCRAMBLE = 2_654_435_761  # odd, so that it permutes the numbers below 4^16: neighbours' barcodes look unlike
HIRES, LOWRES = 0.5, 0.15  # scale of a Visium folder's two images
FIDUCIAL = 1.615  # diameter of a fiducial spot over that of a spot, as Space Ranger writes them


def write_st(
    output: Path,
    slide: str,
    *,
    spots: pd.DataFrame,
    counts: pd.DataFrame,
    rgb: np.ndarray,
    pitch: float,
    diameter: float,
) -> None:
    """Write counts/SLIDE.tsv.gz (rows ``XxY``) and spots/SLIDE.tsv, the columns of the published ST spot files.

    As there, a gene without a count in the section has no column. x counts columns, y rows; new_x and new_y are where
    the spot was found, in lattice units.
    """
    own = spots[spots["selected"] == 1]
    table = counts.loc[:, (counts > 0).any()].set_axis(
        [f"{x}x{y}" for x, y in zip(own["col"], own["row"], strict=True)], axis=0
    )
    text = table.to_csv(sep="\t", lineterminator="\n")
    # Neither the name of the temporary file nor the time belongs into the bytes.
    with (
        replacing(output / "counts" / f"{slide}.tsv.gz") as temporary,
        temporary.open("wb") as stream,
        gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed,
    ):
        packed.write(text.encode())
    found = {}
    for new, lattice, place in (("new_x", "col", "x_px"), ("new_y", "row", "y_px")):
        found[new] = (spots[place] / pitch + np.median(spots[lattice] - spots[place] / pitch)).round(3)
    sheet = pd.DataFrame(
        {
            "x": spots["col"],
            "y": spots["row"],
            **found,
            "pixel_x": spots["x_px"],
            "pixel_y": spots["y_px"],
            "selected": spots["selected"],
            "annotation": spots["annotation"],
        }
    )
    write_table(sheet, output / "spots" / f"{slide}.tsv")


def write_visium(
    output: Path,
    slide: str,
    *,
    spots: pd.DataFrame,
    counts: pd.DataFrame,
    rgb: np.ndarray,
    pitch: float,
    diameter: float,
) -> None:
    """Write visium/SLIDE as Space Ranger lays it out, and annotations/SLIDE.tsv (barcode, annotation)."""
    folder = output / "visium" / slide
    barcodes = np.array([barcode(row, col) for row, col in zip(spots["row"], spots["col"], strict=True)])
    under_tissue = spots["selected"].to_numpy() == 1
    order = np.argsort(barcodes[under_tissue])  # Space Ranger sorts the barcodes of its matrix
    write_10x(
        folder / "filtered_feature_bc_matrix.h5",
        counts.iloc[order],
        barcodes=barcodes[under_tissue][order],
        library=slide,
    )
    positions = pd.DataFrame(
        {
            "barcode": barcodes,
            "in_tissue": spots["selected"],
            "array_row": spots["row"],
            "array_col": spots["col"],
            "pxl_row_in_fullres": spots["y_px"].astype(int),
            "pxl_col_in_fullres": spots["x_px"].astype(int),
        }
    )
    with replacing(folder / "spatial" / "tissue_positions.csv") as temporary:
        positions.to_csv(temporary, index=False, lineterminator="\n")
    factors = {
        "spot_diameter_fullres": diameter,
        "fiducial_diameter_fullres": FIDUCIAL * diameter,
        "tissue_hires_scalef": HIRES,
        "tissue_lowres_scalef": LOWRES,
    }
    with replacing(folder / "spatial" / "scalefactors_json.json") as temporary:
        temporary.write_text(json.dumps(factors))
    for name, scale in (("hires", HIRES), ("lowres", LOWRES)):
        image = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        with replacing(folder / "spatial" / f"tissue_{name}_image.png") as temporary:
            temporary.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    classes = pd.DataFrame({"barcode": barcodes, "annotation": spots["annotation"]})[under_tissue]
    write_table(classes, output / "annotations" / f"{slide}.tsv")


def write_10x(path: Path, counts: pd.DataFrame, *, barcodes: np.ndarray, library: str) -> None:
    """Write counts (spots × genes) as Cell Ranger's version 3 HDF5: genes × barcodes, compressed by columns."""
    matrix = sparse.csc_matrix(counts.to_numpy().T)
    matrix.sort_indices()
    names = counts.columns.to_numpy().astype("S")
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["filetype"] = "matrix"
        file.attrs["version"] = 2
        file.attrs["library_ids"] = np.array([library.encode()])
        file.attrs["chemistry_description"] = "synthetic"
        group = file.create_group("matrix")
        group["barcodes"] = barcodes.astype("S")
        group["data"] = matrix.data.astype(np.int32)
        group["indices"] = matrix.indices.astype(np.int64)
        group["indptr"] = matrix.indptr.astype(np.int64)
        group["shape"] = np.array(matrix.shape, np.int32)
        features = group.create_group("features")
        features["_all_tag_keys"] = np.array([b"genome"])
        features["id"] = np.array([f"SIMG{place:011d}".encode() for place in range(1, len(names) + 1)])
        features["name"] = names
        features["feature_type"] = np.full(len(names), b"Gene Expression")
        features["genome"] = np.full(len(names), b"synthetic")


def barcode(row: int, col: int) -> str:
    """The barcode of a place on the array: fixed by the place, as on a real one; 16 letters and the well ``-1``."""
    number = ((row + 1) * 1_000 + col) * SCRAMBLE % 4**BARCODE
    digits = [number // 4**place % 4 for place in range(BARCODE)]
    return "".join(LETTERS[digits]) + "-1"


def st_sheet(output: Path, slide: str) -> dict[str, str]:
    """Where :func:`write_st` puts a slide's section, as the sheet of sections says it."""
    return {
        "slide": slide,
        "counts": (output / "counts" / f"{slide}.tsv.gz").as_posix(),
        "spots": (output / "spots" / f"{slide}.tsv").as_posix(),
        "annotation": "annotation",
    }


def visium_sheet(output: Path, slide: str) -> dict[str, str]:
    """Where :func:`write_visium` puts a slide's section: the folder holds the spots too."""
    return {
        "slide": slide,
        "counts": (output / "visium" / slide).as_posix(),
        "spots": "",
        "annotation": (output / "annotations" / f"{slide}.tsv").as_posix(),
    }


WRITERS: dict[str, Callable[..., None]] = {"square": write_st, "hexagonal": write_visium}
SHEETS: dict[str, Callable[[Path, str], dict[str, str]]] = {"square": st_sheet, "hexagonal": visium_sheet}
