"""How the formats of spatially measured sections are read: 10x Visium folders, AnnData and SpatialData."""

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.io import mmread

from histocarta.errors import InputError
from histocarta.section_sheets import visium_counts, visium_positions
from histocarta.tables import header_and_delimiter, read_rows

PLACE = ("row", "col", "x_px", "y_px")
VISIUM_PITCH, ST_PITCH = 100.0, 200.0  # um between the centres of neighbouring spots
ST_DIAMETER = 100.0  # um
_VISIUM_COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
_LATTICE = (("array_row", "array_col"), ("row", "col"))  # of AnnData: of Visium's own readers, and of this workflow


@dataclass(frozen=True)
class Measured:
    """What a format says of a section, before counts and positions are brought together.

    counts : CSR, spots × genes, not yet checked; ``ids`` and ``genes`` name its rows and columns. positions : by the
    spot's id, row and col (int) of the lattice, x_px, y_px (level-0 px of the slide), and all else the format tells.
    pitch_um : as the format has it, None where it says nothing. left_out : reason → number of spots.
    """

    format: str
    source: str
    counts: sparse.csr_matrix
    ids: pd.Index
    genes: pd.Index
    positions: pd.DataFrame
    hexagonal: bool = False
    pitch_um: float | None = None
    diameter_um: float | None = None
    diameter_px: float | None = None
    left_out: dict[str, int] = field(default_factory=dict)


def read_visium(folder: str | Path) -> Measured:
    """A folder of 10x Space Ranger: counts of genes (no antibodies, no probes of other kinds), spots under tissue.

    Positions are px of the image in full resolution, which must be the slide. Diameter: ``spot_diameter_fullres``,
    which 10x states for a spot of 65 um, somewhat more than the 55 um that are printed.
    """
    files, (positions_file, scales) = visium_counts(folder), visium_positions(folder)
    counts, ids, genes = _read_h5(files[0]) if len(files) == 1 else _read_matrix(*files)
    positions = _visium_positions(positions_file)
    under = (positions["in_tissue"] == 1).to_numpy()
    factors = json.loads(scales.read_text(encoding="utf-8"))
    return Measured(
        format="visium",
        source=str(files[0]),
        counts=counts,
        ids=ids,
        genes=unique_names(genes),
        positions=positions[under],
        hexagonal=is_staggered(positions),
        pitch_um=VISIUM_PITCH,
        diameter_px=factors.get("spot_diameter_fullres"),
        left_out={"not in tissue": int((~under).sum())},
    )


def read_h5ad(path: str | Path) -> Measured:
    """An AnnData file: raw counts in ``layers["counts"]`` or X, ``obsm["spatial"]`` as x, y in px of the slide."""
    try:
        data = anndata.read_h5ad(path)
    except (OSError, KeyError) as error:
        raise InputError(f"Expected an AnnData file, found {path}, which does not open as one ({error})") from error
    return from_anndata(data, format="h5ad", source=str(path))


def read_spatialdata(path: str | Path) -> Measured:
    """A SpatialData store with one table of spots: positions from ``obsm["spatial"]``, else the centres of its shapes.

    Raises InputError where the optional library is not installed.
    """
    try:
        import spatialdata
    except ImportError as error:
        raise InputError(
            f"Expected the library spatialdata to read {path}, found it not installed; "
            "install histocarta[spatialdata], or save the table as .h5ad"
        ) from error
    try:
        store = spatialdata.read_zarr(path)
    except OSError as error:  # zarr's errors of what is not there, too
        raise InputError(f"Expected a SpatialData store, found {path}, which does not open as one ({error})") from error
    if len(store.tables) != 1:
        raise InputError(
            f"Expected one table of spots in {path}, found {len(store.tables)}"
            f"{': ' if store.tables else ''}{', '.join(store.tables)}; save one section in a store"
        )
    table = next(iter(store.tables.values()))
    diameter = None
    if "spatial" not in table.obsm:
        attributes = table.uns.get("spatialdata_attrs", {})
        regions = attributes.get("region") or []
        regions = [regions] if isinstance(regions, str) else list(regions)
        if len(regions) != 1:
            raise InputError(f"Expected obsm['spatial'] or one region of spots in {path}, found {regions}")
        shapes = store[regions[0]]
        centres = spatialdata.get_centroids(shapes, coordinate_system="global").compute()
        instances = table.obs[attributes["instance_key"]]
        table.obsm["spatial"] = centres[["x", "y"]].reindex(instances).to_numpy()
        diameter = 2 * float(shapes["radius"].median()) if "radius" in shapes else None
    return from_anndata(table, format="spatialdata", source=str(path), diameter_px=diameter)


def from_anndata(data: anndata.AnnData, *, format: str, source: str, diameter_px: float | None = None) -> Measured:
    """A table in memory as a section; spots whose ``in_tissue`` is 0 are left out. InputError for what it lacks."""
    if "spatial" not in data.obsm:
        found = ", ".join(data.obsm) or "none"
        raise InputError(f"Expected positions in obsm['spatial'] of {source}, found {found}; add x, y in px")
    lattice = next((names for names in _LATTICE if set(names) <= set(data.obs)), None)
    if lattice is None:
        raise InputError(
            f"Expected array_row and array_col (or row and col) in obs of {source}, found "
            f"{', '.join(map(str, data.obs)) or 'none'}; add the spots' places in their lattice"
        )
    rows, cols = (whole_numbers(data.obs[name], source=source) for name in lattice)
    pixels = np.asarray(data.obsm["spatial"], dtype=float)
    place = pd.DataFrame({"row": rows, "col": cols, "x_px": pixels[:, 0], "y_px": pixels[:, 1]}, index=data.obs_names)
    others = data.obs.drop(columns=[name for name in PLACE if name in data.obs])
    under = (data.obs["in_tissue"].astype(int) == 1).to_numpy() if "in_tissue" in data.obs else np.ones(len(rows), bool)
    staggered = lattice == _LATTICE[0] and is_staggered(place)
    counts = data.layers.get("counts", data.X)
    if counts is None:
        raise InputError(f"Expected raw counts in layers['counts'] or X of {source}, found neither; add them")
    return Measured(
        format=format,
        source=source,
        counts=sparse.csr_matrix(counts),
        ids=data.obs_names,
        genes=unique_names(data.var_names),
        positions=pd.concat([place, others], axis=1)[under],
        hexagonal=staggered,
        pitch_um=VISIUM_PITCH if staggered else None,  # other lattices in AnnData have no usual pitch
        diameter_px=diameter_px or _diameter(data),
        left_out={"not in tissue": int((~under).sum())} if "in_tissue" in data.obs else {},
    )


def unique_names(names: pd.Index) -> pd.Index:
    """Names with -1, -2 … behind all but the first of the same, as Scanpy makes them."""
    with warnings.catch_warnings():  # that X-1 may have been a name before is no news to who reads genes
        warnings.simplefilter("ignore", UserWarning)
        return anndata.utils.make_index_unique(pd.Index(names, dtype=object).astype(str)).rename(None)


def whole_numbers(values: pd.Series, *, source: str) -> np.ndarray:
    """``values`` as int; InputError naming the first that is no whole number, by its index."""
    numbers = pd.to_numeric(values.astype(object), errors="coerce").to_numpy(float)
    wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.rint(numbers)))
    if len(wrong):
        raise InputError(
            f"Expected whole numbers in column {values.name} of {source}, found {values.iloc[wrong[0]]!r} for spot "
            f"{values.index[wrong[0]]}; give the spots' places in their lattice"
        )
    return numbers.astype(int)


def is_staggered(place: pd.DataFrame) -> bool:
    """Whether every second place of the lattice is skipped, as Visium numbers its hexagons: row + col is even."""
    return bool(len(place)) and bool(((place["row"] + place["col"]) % 2 == 0).all())


def _diameter(data: anndata.AnnData) -> float | None:
    """The diameter in px that Scanpy keeps in ``uns`` of a Visium section."""
    libraries = data.uns.get("spatial", {})
    factors = [library.get("scalefactors", {}) for library in libraries.values()] if len(libraries) == 1 else [{}]
    return factors[0].get("spot_diameter_fullres")


def _read_matrix(matrix: Path, barcodes: Path, features: Path) -> tuple[sparse.csr_matrix, pd.Index, pd.Index]:
    table = pd.read_csv(features, sep="\t", header=None, dtype=str, keep_default_na=False)
    ids = pd.read_csv(barcodes, sep="\t", header=None, dtype=str, keep_default_na=False)[0]
    counts = sparse.csr_matrix(mmread(matrix).T)
    if counts.shape != (len(ids), len(table)):
        raise InputError(
            f"Expected {len(table)} features × {len(ids)} barcodes as in the files beside it, found "
            f"{counts.shape[1]} × {counts.shape[0]} in {matrix}; fetch the folder again"
        )
    kinds = table[2].to_numpy() if 2 in table else np.full(len(table), "Gene Expression")
    return _genes_only(counts, pd.Index(ids), table[1].to_numpy(), kinds)


def _read_h5(path: Path) -> tuple[sparse.csr_matrix, pd.Index, pd.Index]:
    try:
        with h5py.File(path) as store:
            matrix = store["matrix"]
            n_features, n_barcodes = (int(side) for side in matrix["shape"])
            parts = tuple(matrix[name][:] for name in ("data", "indices", "indptr"))
            names, kinds = (matrix["features"][name].asstr()[:] for name in ("name", "feature_type"))
            ids = pd.Index(matrix["barcodes"].asstr()[:])
    except (OSError, KeyError) as error:
        raise InputError(f"Expected counts of Space Ranger in {path}, found another file ({error})") from error
    return _genes_only(sparse.csr_matrix(parts, shape=(n_barcodes, n_features)), ids, names, kinds)


def _genes_only(
    counts: sparse.csr_matrix, ids: pd.Index, names: np.ndarray, kinds: np.ndarray
) -> tuple[sparse.csr_matrix, pd.Index, pd.Index]:
    genes = kinds == "Gene Expression"
    return (counts if genes.all() else counts[:, np.flatnonzero(genes)]), ids, pd.Index(names[genes])


def _visium_positions(path: Path) -> pd.DataFrame:
    """Positions by barcode; the older file has no header."""
    first, _, _ = header_and_delimiter(path)
    headed = first[0] == _VISIUM_COLUMNS[0]
    if len(first) != len(_VISIUM_COLUMNS) or (headed and first != list(_VISIUM_COLUMNS)):
        raise InputError(f"Expected the columns {', '.join(_VISIUM_COLUMNS)} in {path}, found {', '.join(first)}")
    rows = [cells for _, cells in read_rows(path)]
    table = pd.DataFrame(rows if headed else [first, *rows], columns=list(_VISIUM_COLUMNS)).set_index("barcode")
    numbers = {name: whole_numbers(table[name], source=str(path)) for name in _VISIUM_COLUMNS[1:4]}
    pixels = {name: pixels_of(table[name], source=str(path)) for name in _VISIUM_COLUMNS[4:]}
    place = {"row": numbers["array_row"], "col": numbers["array_col"]}
    place |= {"x_px": pixels["pxl_col_in_fullres"], "y_px": pixels["pxl_row_in_fullres"]}
    return pd.DataFrame(place | {"in_tissue": numbers["in_tissue"]}, index=table.index)


def pixels_of(values: pd.Series, *, source: str) -> np.ndarray:
    """``values`` as float; InputError naming the first that is no finite number, by its index."""
    numbers = pd.to_numeric(values.astype(object), errors="coerce").to_numpy(float)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise InputError(
            f"Expected pixels of the slide in column {values.name} of {source}, found {values.iloc[wrong[0]]!r} for "
            f"spot {values.index[wrong[0]]}; correct the position, or take the spot out"
        )
    return numbers
