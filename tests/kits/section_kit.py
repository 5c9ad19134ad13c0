"""Spatially measured sections made to measure for tests: a slide's survey, and counts in every format that is read."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import anndata
import cv2
import h5py
import numpy as np
import pandas as pd
from histocarta.sections import read_section
from scipy import sparse
from scipy.io import mmwrite

MPP, WIDTH, HEIGHT, DOWNSAMPLE = 0.5, 6000, 5000, 6
# Under no symmetry of the image does most of it lie on itself.
TISSUE = np.array([(300, 300), (5600, 300), (5600, 1500), (1900, 1500), (1900, 3000), (300, 3000)], np.int32)
GENES = ("ERBB2", "FASN", "GNAS", "FASN")


@dataclass
class Slide:
    """Where a slide's survey, tissue mask and thumbnail are, and what of a section is written beside them."""

    folder: Path

    def read(self, *, name: str = "section", **row) -> tuple[anndata.AnnData, pd.DataFrame, dict]:
        """Read the section of a row of the sheet; its counts, spots and record."""
        blanks = dict.fromkeys(("spots", "lattice", "pitch_um", "diameter_um", "annotation"), "")
        paths = {
            "section_counts": self.folder / f"{name}.h5ad",
            "section_spots": self.folder / f"{name}.parquet",
            "record": self.folder / f"{name}.json",
            "registration": self.folder / f"{name}.png",
        }
        read_section(
            slide="s1",
            survey=self.folder / "survey.json",
            tissue=self.folder / "tissue.png",
            thumbnail=self.folder / "thumbnail.png",
            **{key: str(value) for key, value in (blanks | row).items()},
            **{key: str(path) for key, path in paths.items()},
        )
        counts, spots = anndata.read_h5ad(paths["section_counts"]), pd.read_parquet(paths["section_spots"])
        return counts, spots, json.loads(paths["record"].read_text())


def write_slide(folder: Path, *, region: tuple[int, int, int, int] | None = None, **facts) -> Slide:
    """A slide of WIDTH × HEIGHT px with TISSUE on it, seen through ``region`` where one is given."""
    x, y, width, height = region or (0, 0, WIDTH, HEIGHT)
    mask = np.zeros((-(-height // DOWNSAMPLE), -(-width // DOWNSAMPLE)), np.uint8)
    cv2.fillPoly(mask, [(TISSUE - (x, y)) // DOWNSAMPLE], 255)
    rgb = np.where(mask[..., None] > 0, (170, 100, 150), 235).astype(np.uint8)
    survey = {"status": "ok", "code": "", "reason": "", "mpp": MPP, "width": WIDTH, "height": HEIGHT, "x": x, "y": y}
    survey |= {"region_width": width, "region_height": height, "thumbnail_downsample": DOWNSAMPLE} | facts
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "tissue.png"), mask)
    cv2.imwrite(str(folder / "thumbnail.png"), rgb)
    (folder / "survey.json").write_text(json.dumps(survey))
    return Slide(folder)


def lattice(*, hexagonal: bool) -> pd.DataFrame:
    """Spots on TISSUE: row, col, x_px, y_px and counts of GENES; 100 um apart on hexagons, 200 um on squares."""
    step = (100 if hexagonal else 200) / MPP
    down, across = (step * np.sqrt(0.75), step / 2) if hexagonal else (step, step)
    rows, cols = (axis.ravel() for axis in np.indices((int(HEIGHT / down), int(WIDTH / across))))
    table = pd.DataFrame({"row": rows, "col": cols, "x_px": cols * across, "y_px": rows * down})
    table = table[(table["row"] + table["col"]) % 2 == 0] if hexagonal else table
    inside = [cv2.pointPolygonTest(TISSUE, (float(x), float(y)), False) > 0
              for x, y in table[["x_px", "y_px"]].to_numpy()]  # fmt: skip
    table = table[inside].reset_index(drop=True)
    table["id"] = [f"{row:.0f}x{col:.0f}-1" for row, col in table[["row", "col"]].to_numpy()]
    return table


def counts_of(table: pd.DataFrame, *, seed: int = 1) -> np.ndarray:
    """Counts, spots × GENES."""
    return np.random.default_rng(seed).poisson((3, 1, 0.2, 2), (len(table), len(GENES)))


def write_st(folder: Path, table: pd.DataFrame, counts: np.ndarray) -> dict[str, Path]:
    """Counts and spots as text; the spot's id is XxY."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"{col}x{row}" for row, col in table[["row", "col"]].to_numpy()]
    genes = ["ERBB2", "FASN", "GNAS", "ACTB"]
    pd.DataFrame(counts, index=ids, columns=genes).to_csv(folder / "counts.tsv.gz", sep="\t")
    spots = table.rename(columns={"col": "x", "row": "y", "x_px": "pixel_x", "y_px": "pixel_y"}).drop(columns="id")
    spots.to_csv(folder / "spots.tsv", sep="\t", index=False)
    return {"counts": folder / "counts.tsv.gz", "spots": folder / "spots.tsv"}


def write_visium(folder: Path, table: pd.DataFrame, counts: np.ndarray, *, h5: bool, header: bool) -> Path:
    """A folder of Space Ranger with an antibody among the features and one spot that is not under tissue."""
    (folder / "spatial").mkdir(parents=True)
    names, kinds = [*GENES, "CD3"], ["Gene Expression"] * len(GENES) + ["Antibody Capture"]
    matrix = sparse.csc_matrix(np.hstack([counts, np.full((len(table), 1), 9)]).T)
    if h5:
        with h5py.File(folder / "filtered_feature_bc_matrix.h5", "w") as store:
            group = store.create_group("matrix")
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(matrix, name)
            group["shape"], group["barcodes"] = matrix.shape, table["id"].to_numpy("S")
            for name, values in (("id", [f"ENSG{n}" for n in range(len(names))]), ("genome", ["GRCh38"] * len(names))):
                group[f"features/{name}"] = np.array(values, "S")
            group["features/name"], group["features/feature_type"] = np.array(names, "S"), np.array(kinds, "S")
    else:
        inner = folder / "filtered_feature_bc_matrix"
        inner.mkdir()
        with gzip.open(inner / "matrix.mtx.gz", "wb") as stream:
            mmwrite(stream, matrix)
        for name, lines in (
            ("barcodes", table["id"]),
            ("features", [f"ENSG{n}\t{gene}\t{kind}" for n, (gene, kind) in enumerate(zip(names, kinds, strict=True))]),
        ):
            with gzip.open(inner / f"{name}.tsv.gz", "wt") as stream:
                stream.write("\n".join(lines) + "\n")
    places = table[["id"]].assign(in_tissue=1).join(table[["row", "col", "y_px", "x_px"]].round())
    places.columns = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
    places.loc[len(places)] = ["outside-1", 0, 0, 0, 10, 10]
    places.to_csv(folder / "spatial" / f"tissue_positions{'' if header else '_list'}.csv", index=False, header=header)
    (folder / "spatial" / "scalefactors_json.json").write_text(json.dumps({"spot_diameter_fullres": 110.0}))
    return folder


def to_anndata(table: pd.DataFrame, counts: np.ndarray) -> anndata.AnnData:
    """The section in memory as Scanpy's reader makes it, after its names were made unique."""
    data = anndata.AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame({"in_tissue": 1, "array_row": table["row"].to_numpy(), "array_col": table["col"].to_numpy()},
                         index=table["id"].to_numpy()),
        var=pd.DataFrame(index=["ERBB2", "FASN", "GNAS", "FASN-1"]),
    )  # fmt: skip
    data.obsm["spatial"] = table[["x_px", "y_px"]].to_numpy()
    data.uns["spatial"] = {"lib": {"scalefactors": {"spot_diameter_fullres": 110.0}}}
    return data
