"""How spots leave for other programs: one file per slide that Scanpy, Squidpy and SpatialData plot as it is."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from PIL import Image

from histocarta.errors import InputError
from histocarta.files import read_json, read_table, replacing

KEY = ["slide", "row", "col"]
ABOUT = "histocarta"  # key of uns under which stands what no reader of AnnData asks for
VALUES = "ln of a gene's normalised counts (He 2020), in X as predicted and in layers['measured'] as measured"


def export_spots(
    *,
    scores: str,
    counts: str,
    record: str,
    survey: str,
    thumbnail: str,
    labels: str | None,
    summary: str | None,
    slide: str,
    exported: str,
    genes: str | None = None,
) -> None:
    """Write ``exported`` (.h5ad): the predictions of one slide (X, spots × genes, float32) on its thumbnail.

    ``scores``: wide predictions of all slides; ``counts``, ``record``: the slide's section (counts.h5ad, section.json);
    ``survey``, ``thumbnail``: the slide's record and picture; ``labels``, ``summary``: measured values of all slides,
    both None where nothing was measured; ``genes``: a table with a column gene, whose other columns become those of
    var. Spots that were not predicted are left out, and so are genes without a prediction on this slide.
    ``obsm["spatial"]`` counts level-0 px from the corner of the thumbnail's region, as Scanpy and Squidpy need it;
    ``x_px`` and ``y_px`` of obs count from the slide's. A slide or section left out gives a file of no spots. Raises
    InputError where predictions, labels and section are of different runs.
    """
    about, section = read_json(record), read_json(survey)
    predicted = pd.read_parquet(scores, filters=[("slide", "==", slide)])
    names = [name for name in predicted.columns if name not in KEY]
    if failed := next((each for each in (section, about) if each["status"] != "ok"), None):
        table = anndata.AnnData(np.zeros((0, 0), np.float32))
        table.uns[ABOUT] = _facts(about) | {key: failed[key] for key in ("status", "code", "reason")}
    else:
        spots = place_predictions(_obs(counts), predicted, names=names, slide=slide)
        measured = _measured(labels, summary, slide=slide) if labels and summary else None
        rgb = np.asarray(Image.open(thumbnail).convert("RGB"))
        table = spots_table(spots, predicted=names, measured=measured, rgb=rgb, section=about, survey=section)
        if genes:
            table.var = table.var.join(gene_columns(read_table(genes), genes=table.var_names, path=genes))
        table.uns[ABOUT]["genes_not_predicted"] = sorted(set(names) - set(table.var_names))
    with replacing(exported) as temporary:
        table.write_h5ad(temporary, compression="gzip")


def place_predictions(obs: pd.DataFrame, predicted: pd.DataFrame, *, names: Sequence[str], slide: str) -> pd.DataFrame:
    """The rows of ``obs`` (a section's spots, in its order) that were predicted, with the columns ``names`` beside.

    Raises InputError where a place (row, col) stands twice, or a prediction lies where the section has no spot.
    """
    for frame, what in ((obs, "section"), (predicted, "predictions")):
        if (twice := frame.duplicated(["row", "col"])).any():
            row, col = (int(frame.loc[twice, axis].iloc[0]) for axis in ("row", "col"))
            raise InputError(f"Expected every spot once in the {what} of {slide}, found row {row}, column {col} twice")
    at = pd.MultiIndex.from_frame(predicted[["row", "col"]].astype(int))
    places = pd.MultiIndex.from_frame(obs[["row", "col"]].astype(int))
    if len(strange := at[~at.isin(places)]):
        raise InputError(
            f"Expected predictions of {slide} on the {len(obs)} spots of its section, found {len(strange)} elsewhere "
            f"(row {strange[0][0]}, column {strange[0][1]}, …); predict the slide's present spots again"
        )
    kept = places.isin(at)
    values = predicted[list(names)].set_axis(at).reindex(places[kept]).set_axis(obs.index[kept])
    return pd.concat([obs[kept].drop(columns=[name for name in names if name in obs]), values], axis=1)


def spots_table(
    spots: pd.DataFrame,
    *,
    predicted: Sequence[str],
    measured: pd.DataFrame | None,
    rgb: np.ndarray,
    section: Mapping,
    survey: Mapping,
) -> anndata.AnnData:
    """Spots, pictures and scales in the form that 10x Visium has given to AnnData.

    ``spots``: row, col, x_px, y_px, total, annotation and the columns ``predicted``; ``measured``: a column per gene,
    index (row, col), or None; ``rgb``: thumbnail, uint8 (height, width, 3); ``section``, ``survey``: their records.
    """
    genes = [name for name in predicted if spots[name].notna().any()]
    obs = pd.DataFrame(index=spots.index.astype(str).rename(None))
    for name, source in (("array_row", "row"), ("array_col", "col"), ("x_px", "x_px"), ("y_px", "y_px")):
        obs[name] = spots[source].to_numpy()
    obs["total"] = spots["total"].to_numpy(float)
    words = spots["annotation"].astype(object).to_numpy()
    obs["annotation"] = pd.Categorical(np.where(pd.isna(words) | (words == ""), None, words))
    table = anndata.AnnData(spots[genes].to_numpy(np.float32), obs=obs, var=pd.DataFrame(index=pd.Index(genes)))
    table.layers["measured"] = _beside(spots, genes, measured)
    corner = np.array([survey["x"], survey["y"]], float)
    table.obsm["spatial"] = spots[["x_px", "y_px"]].to_numpy(float) - corner
    diameter = diameter_um(section) / survey["mpp"]
    table.uns["spatial"] = {
        section["slide"]: {
            "images": {"hires": rgb},
            "scalefactors": {
                "tissue_hires_scalef": 1 / survey["thumbnail_downsample"],
                "spot_diameter_fullres": diameter,
                "fiducial_diameter_fullres": diameter,  # there are no fiducials; some readers ask for the key
            },
            "metadata": {"source_image_path": Path(survey.get("file", "")).name},
        }
    }
    table.uns[ABOUT] = _facts(section) | {"status": "ok", "code": "", "reason": "", "mpp": float(survey["mpp"])}
    table.uns[ABOUT]["corner_px"] = corner
    return table


def gene_columns(table: pd.DataFrame, *, genes: Sequence[str], path: str) -> pd.DataFrame:
    """The columns of a table of genes for ``genes``, numbers as numbers; a gene that it lacks has none.

    Raises InputError where ``table`` has no column gene or one gene twice.
    """
    if "gene" not in table:
        raise InputError(f"Expected the column gene in {path}, found {', '.join(table.columns[:30])}")
    if (twice := table["gene"].duplicated()).any():
        raise InputError(f"Expected every gene once in {path}, found {table.loc[twice, 'gene'].iloc[0]} twice")
    found = table.set_index("gene").reindex(list(genes))
    for name in found.select_dtypes(object):
        number = pd.to_numeric(found[name].replace("", np.nan), errors="coerce")
        text = found[name].fillna("").astype(str)
        found[name] = number if number.notna().sum() == text.ne("").sum() else text
    return found.rename_axis(None)


def export_spatialdata(*, exported: str, stored: str) -> None:
    """Write the folder ``stored`` (.zarr) for SpatialData from a slide's .h5ad: image, circles of the spots, table.

    One coordinate system, ``global``: level-0 px of the slide. It needs the package spatialdata.
    """
    try:
        from spatialdata import SpatialData
    except ImportError as error:
        raise InputError(
            "Expected the package spatialdata for a .zarr of spots, found none; pip install 'histocarta[spatialdata]', "
            "or use the .h5ad, which holds the same"
        ) from error
    table = anndata.read_h5ad(exported)
    if "spatial" not in table.uns or not len(table):
        what = table.uns[ABOUT]["reason"] or "no spot of it was predicted"
        raise InputError(f"Expected predicted spots in {exported}, found none ({what}); export another slide")
    with replacing_folder(stored) as temporary:
        SpatialData(**_elements(table)).write(temporary)


def _elements(table: anndata.AnnData) -> dict[str, dict]:
    from spatialdata.models import Image2DModel, ShapesModel, TableModel
    from spatialdata.transformations import Scale, Sequence, Translation

    ((slide, library),) = table.uns.pop("spatial").items()
    scales, corner = library["scalefactors"], np.asarray(table.uns[ABOUT]["corner_px"])
    down = 1 / scales["tissue_hires_scalef"]
    placed = Sequence([Scale([down, down], axes=("x", "y")), Translation(corner, axes=("x", "y"))])
    image = Image2DModel.parse(
        library["images"]["hires"], dims=("y", "x", "c"), c_coords=["r", "g", "b"], transformations={"global": placed}
    )
    centres, radius = table.obs[["x_px", "y_px"]].to_numpy(float), scales["spot_diameter_fullres"] / 2
    circles = ShapesModel.parse(centres, geometry=0, radius=radius, index=table.obs_names)
    table.obsm["spatial"] = centres
    table.obs["region"] = pd.Categorical([f"{slide}_spots"] * len(table))
    table.obs["spot"] = table.obs_names
    named = TableModel.parse(table, region=f"{slide}_spots", region_key="region", instance_key="spot")
    return {
        "images": {f"{slide}_thumbnail": image},
        "shapes": {f"{slide}_spots": circles},
        "tables": {"predictions": named},
    }


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """As :func:`histocarta.files.replacing`, for a folder: a path that is free, and takes ``path``'s place at the end.

    The old folder goes last, so that a killed job leaves either none of the new one or all of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        yield room / path.name
        if path.exists():
            path.replace(room / "old")
        (room / path.name).replace(path)
    finally:
        shutil.rmtree(room)


def _obs(counts: str) -> pd.DataFrame:
    """The spots of a section without reading their counts."""
    backed = anndata.read_h5ad(counts, backed="r")
    obs = backed.obs.copy()
    backed.file.close()
    return obs


def _measured(labels: str, summary: str, *, slide: str) -> pd.DataFrame:
    """Measured values of one slide: a column per gene of labels.json, index (row, col)."""
    genes = read_json(summary).get("genes", [])
    rows = pd.read_parquet(labels, columns=["row", "col", "target"], filters=[("slide", "==", slide)])
    rows = rows[rows["target"].notna()]  # the others have no counts
    lengths = set(rows["target"].map(len))
    if lengths - {len(genes)}:
        raise InputError(
            f"Expected {len(genes)} values per spot in {labels} as {summary} names genes, found "
            f"{min(lengths - {len(genes)})} on {slide}; make both anew"
        )
    values = np.array(rows["target"].tolist(), np.float32).reshape(len(rows), len(genes))
    return pd.DataFrame(values, index=pd.MultiIndex.from_frame(rows[["row", "col"]].astype(int)), columns=genes)


def _beside(spots: pd.DataFrame, genes: Sequence[str], measured: pd.DataFrame | None) -> np.ndarray:
    """Measured values of ``genes`` in the order of ``spots``, float32; NaN where none was measured."""
    if measured is None:
        return np.full((len(spots), len(genes)), np.nan, np.float32)
    places = pd.MultiIndex.from_frame(spots[["row", "col"]].astype(int))
    return measured.reindex(index=places, columns=list(genes)).to_numpy(np.float32)


def diameter_um(section: Mapping) -> float:
    """The spots' diameter; where neither sheet nor file says it, half their distance (as of both ST and Visium)."""
    pitch = section.get("pitch_um") or section.get("measured_pitch_um")
    return section["diameter_um"] or pitch / 2


def _facts(section: Mapping) -> dict[str, str | float]:
    """What a reader of the file may ask of the section; what is not known is left out (HDF5 has no null)."""
    known = {name: section.get(name) for name in ("slide", "format", "lattice", "pitch_um", "diameter_um")}
    return {"values": VALUES} | {name: value for name, value in known.items() if value is not None}
