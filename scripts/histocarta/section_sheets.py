"""What a sheet of spatially measured sections holds, and which files a slide's section is read from."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from histocarta.errors import InputError, nearest
from histocarta.sheets import SAFE_NAME
from histocarta.tables import decimal_hint, fail, is_missing, is_number, read_text_table, require_columns

REQUIRED = ("slide", "counts", "spots")
COLUMNS = (*REQUIRED, "lattice", "pitch_um", "diameter_um", "annotation")
NO_SECTION = dict.fromkeys(COLUMNS[1:], "")  # what is told of a slide that the sheet does not name
LATTICES = ("square", "hexagonal")
VISIUM_COUNTS = "filtered_feature_bc_matrix"
MATRIX = ("matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz")
SCALES = "spatial/scalefactors_json.json"
POSITIONS = ("spatial/tissue_positions.csv", "spatial/tissue_positions_list.csv")  # Space Ranger 2, and before
_TABLES = (".tsv", ".csv", ".txt", ".gz")


def read_sections(path: str | Path, *, check_files: bool = True) -> pd.DataFrame:
    """Read a sheet of sections (slide, counts, spots; optional lattice, pitch_um, diameter_um, annotation).

    Returns text columns COLUMNS, one row per slide in the sheet's order; blank where nothing is said. Files are looked
    for unless ``check_files`` is False: they may still be made. Raises one InputError for all faults.
    """
    table = read_text_table(path)
    require_columns(table, list(REQUIRED), path=path)
    if strange := [name for name in table if name not in COLUMNS]:
        raise InputError(
            f"Expected the columns {', '.join(COLUMNS)} in {path}, found {strange[0]!r}{nearest(strange[0], COLUMNS)}; "
            "rename it, or take it out"
        )
    table = table.reindex(columns=list(COLUMNS), fill_value="")
    table = table.mask(table.map(is_missing), "")
    problems = []
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        faults = _faults(row)
        faults += _absent(row) if check_files and not faults else []
        problems += [f"line {line}, column {fault}" for fault in faults]
    for slide, lines in table.index.to_series().groupby(table["slide"].to_numpy()):
        if len(lines) > 1:
            problems.append(f"lines {', '.join(map(str, lines))}, column slide: {slide!r} stands more than once")
    fail(problems, path=path, what="valid sections")
    return table.reset_index(drop=True)


def section_row(sections: pd.DataFrame, *, slide: str) -> dict[str, str]:
    """What the sheet says of ``slide``: counts, spots, lattice, pitch_um, diameter_um, annotation; all text."""
    found = sections[sections["slide"] == slide]
    if found.empty:
        known = list(sections["slide"])
        raise InputError(
            f"Expected a row for slide {slide!r} in the sheet of sections, found {len(known)} other slides"
            f"{nearest(slide, known)}; add its section, or leave the slide out"
        )
    return found.iloc[0].drop("slide").to_dict()


def section_files(row: Mapping[str, str]) -> list[str]:
    """The paths that a section is read from: of a Visium folder the files in it, of a .zarr the folder itself.

    Raises InputError where a Visium folder lacks one of them.
    """
    files = [row["counts"], *([row["spots"]] if row["spots"] else [])]
    if kind_of(row["counts"]) == "visium":
        counts = visium_counts(row["counts"])
        files = [str(path) for path in (*counts, *visium_positions(row["counts"]))]
    return [*files, *([row["annotation"]] if is_file_name(row["annotation"]) else [])]


def kind_of(counts: str | Path) -> str:
    """The format of a section by the name and nature of its counts: h5ad, spatialdata, visium or st."""
    path = Path(counts)
    if path.suffix == ".h5ad":
        return "h5ad"
    if path.suffix == ".zarr":
        return "spatialdata"
    return "visium" if path.is_dir() else "st"


def is_file_name(annotation: str) -> bool:
    """Whether ``annotation`` names a table of its own; else it is a column of the spots."""
    return annotation.lower().endswith(_TABLES)


def visium_counts(folder: str | Path) -> list[Path]:
    """The .h5 of counts in a Visium folder (which may have a prefix before its name), else the three files of its
    matrix; InputError where it has neither."""
    folder = Path(folder)
    whole = [folder / f"{VISIUM_COUNTS}.h5", *sorted(folder.glob(f"*{VISIUM_COUNTS}.h5"))]
    parts = [folder / VISIUM_COUNTS / name for name in MATRIX]
    if found := [path for path in whole if path.is_file()]:
        return found[:1]
    if all(path.is_file() for path in parts):
        return parts
    raise InputError(
        f"Expected {VISIUM_COUNTS}.h5 or {VISIUM_COUNTS}/ with {', '.join(MATRIX)} in {folder}, "
        f"found {_listing(folder)}; name the folder that Space Ranger calls outs"
    )


def visium_positions(folder: str | Path) -> tuple[Path, Path]:
    """The file of positions and the scale factors in a Visium folder; InputError where one is missing."""
    folder = Path(folder)
    found = [folder / name for name in POSITIONS if (folder / name).is_file()]
    if not found or not (folder / SCALES).is_file():
        raise InputError(
            f"Expected {SCALES} and {' or '.join(POSITIONS)} in {folder}, found {_listing(folder / 'spatial')}; "
            "fetch the folder spatial of the same run"
        )
    return found[0], folder / SCALES


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(names[:8]) or "nothing"


def _faults(row: Mapping[str, str]) -> list[str]:
    """What is wrong in one row, each with its column; files are not looked for."""
    faults = []
    if not SAFE_NAME.fullmatch(row["slide"]):
        faults.append(f"slide: expected letters, digits, . _ - only, found {row['slide']!r}")
    if not row["counts"]:
        faults.append("counts: expected a path, found a blank")
    faults += [
        f"{name}: expected a path without {{ and }}, found {row[name]!r}; rename the file"
        for name in ("counts", "spots", "annotation")
        if set("{}") & set(row[name])  # to Snakemake they are the marks of a wildcard
    ]
    if not row["spots"] and Path(row["counts"]).suffix in _TABLES:
        faults.append("spots: expected the file with the spots' positions beside a table of counts, found a blank")
    if row["lattice"] not in ("", *LATTICES):
        hint = nearest(row["lattice"], LATTICES)
        faults.append(f"lattice: expected {' or '.join(LATTICES)}, found {row['lattice']!r}{hint}")
    faults += [
        f"{name}: expected micrometres above 0, found {row[name]!r}{decimal_hint(row[name])}"
        for name in ("pitch_um", "diameter_um")
        if row[name] and not (is_number(row[name]) and 0 < float(row[name]) < float("inf"))
    ]
    return faults


def _absent(row: Mapping[str, str]) -> list[str]:
    """Which files of a row are not there; whether it names a file of spots where, and only where, one is read."""
    if not Path(row["counts"]).exists():
        return [f"counts: expected a file or folder, found nothing at {row['counts']}"]
    if kind_of(row["counts"]) == "st":
        if not row["spots"]:
            return ["spots: expected the file with the spots' positions beside a table of counts, found a blank"]
    elif row["spots"]:
        return [f"spots: expected a blank, found {row['spots']!r}; the positions are in {row['counts']} itself"]
    try:
        files = section_files(row)
    except InputError as error:
        return [f"counts: {error}"]
    names = {row["spots"]: "spots", row["annotation"]: "annotation"}
    return [f"{names.get(path, 'counts')}: found no file {path}" for path in files if not Path(path).exists()]
