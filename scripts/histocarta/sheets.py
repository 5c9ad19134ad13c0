"""What a row of the slide sheet means, whether it comes from the user's table or from a GDC manifest."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from histocarta import barcodes
from histocarta.errors import InputError
from histocarta.mpp import MPP_WORDS, is_mpp
from histocarta.sheet_columns import REGION, SLIDE_COLUMNS, named_columns, region_faults
from histocarta.tables import decimal_hint, fail, read_text_table, require_columns

# A slide's and a patient's id become a folder, a Snakemake wildcard and a shell word: nothing else may stand in them.
SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
TRAIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._|@-]*")
_NO = {"", "no", "n", "false", "f", "0", "0.0"}
_YES = {"yes", "y", "true", "t", "1", "1.0", "x"}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def read_slides(path: str | Path) -> pd.DataFrame:
    """Read ``slides.tsv`` (slide, patient, file; optional mpp, region, block, exclude and reason) and check every cell.

    A region stands in x, y, width, height, or in one column ``region`` as ``x,y,width,height``.
    Returns text columns SLIDE_COLUMNS, one row per slide, in the sheet's order; blank where nothing is said.
    ``exclude`` holds the reason. ``sample_type`` and ``dx`` come from TCGA names. Raises one InputError for all faults.
    """
    table = named_columns(read_text_table(path), path=path)
    problems, rows = [], table.to_dict("records")
    for line, row in zip(table.index, rows, strict=True):
        problems += [f"line {line}, {fault}" for fault in (*region_faults(row), *_faults(row))]
    table = pd.DataFrame(rows, index=table.index, columns=table.columns)
    for slide, lines in table.index.to_series().groupby(table["slide"].to_numpy()):
        if len(lines) > 1:
            problems.append(f"lines {', '.join(map(str, lines))}, column slide: {slide!r} stands more than once")
    fail(problems, path=path, what="valid slides")
    table["exclude"] = [
        _exclusion(flag, reason) for flag, reason in zip(table["exclude"], table["reason"], strict=True)
    ]
    for column, part in (("sample_type", "sample_type"), ("dx", "number")):
        table[column] = [
            _from_barcode(value, slide, part) for value, slide in zip(table[column], table["slide"], strict=True)
        ]
    return table[list(SLIDE_COLUMNS)].reset_index(drop=True)


def slides_from_gdc_manifest(path: str | Path, *, folder: str, sample_types: Sequence[str]) -> pd.DataFrame:
    """Read a GDC manifest (id, filename, md5, size, state) as a slide sheet that has ``md5`` and ``size`` too.

    The file is ``folder``/id/filename, as the GDC client lays it out. Slides of another sample type and frozen
    sections stay in the sheet with ``exclude`` set. Raises one InputError for all faulty lines.
    """
    table = read_text_table(path)
    require_columns(table, ["id", "filename", "md5", "size"], path=path)
    problems, rows, first_line = [], [], {}
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        slide, barcode = barcodes.slide_stem(row["filename"]), barcodes.parse(row["filename"])
        faults = _manifest_faults(row, barcode)
        if slide in first_line:
            faults.append(f"column filename: slide {slide!r} stands on line {first_line[slide]} already")
        first_line.setdefault(slide, line)
        problems += [f"line {line}, {fault}" for fault in faults]
        if barcode is None:
            continue
        rows.append(
            dict.fromkeys(SLIDE_COLUMNS, "")
            | {
                "slide": slide,
                "patient": barcode.patient,
                "file": f"{folder}/{row['id'].lower()}/{row['filename']}",
                "exclude": _unsuitable(barcode, sample_types),
                "sample_type": barcode.sample_type or "",
                "dx": "" if barcode.number is None else str(barcode.number),
                "md5": row["md5"].lower(),
                "size": row["size"],
            }
        )
    fail(problems, path=path, what="a GDC manifest of slides")
    return pd.DataFrame(rows, columns=[*SLIDE_COLUMNS, "md5", "size"])


def read_cohort_slides(cohort: Mapping) -> pd.DataFrame:
    """The slides of a cohort of the config (its section as a plain dict), from its sheet or its GDC manifest."""
    if cohort["gdc_manifest"]:
        return slides_from_gdc_manifest(
            cohort["gdc_manifest"], folder=cohort["slides_folder"], sample_types=cohort["sample_types"]
        )
    return read_slides(cohort["slides"])


def mpp_of_file(file: str, *, slides: pd.DataFrame) -> str:
    """The resolution of ``file``, which may hold many slides, by the first row that states one; else a blank."""
    return next((mpp for mpp in slides.loc[slides["file"] == file, "mpp"] if mpp), "")


def read_traits(traits: str | Path | Sequence[str]) -> list[str]:
    """Trait names from a list, or from the column ``trait`` (else the only column) of a sheet; each named once."""
    where, places = "the config", []
    if isinstance(traits, str | Path):
        where, table = str(traits), read_text_table(traits)
        if "trait" not in table and table.shape[1] > 1:
            require_columns(table, ["trait"], path=traits)
        column = "trait" if "trait" in table else table.columns[0]
        # A plain list has no header: its first line is a trait like the others.
        header = [] if column == "trait" else [column]
        traits, places = [*header, *table[column]], [*(table.index[:1] - 1)[: len(header)], *table.index]
    names, faults, first = list(traits), [], {}
    for number, name in enumerate(names):
        place = f"line {places[number]}: " if places else ""
        if not TRAIT_NAME.fullmatch(str(name)):
            faults.append(f"{place}{name!r} (expected letters, digits, . _ | @ -)")
        elif name in first:
            faults.append(f"{place}{name!r} stands{f' on line {first[name]}' if places else ''} already")
        first.setdefault(name, places[number] if places else number)
    if not names:
        raise InputError(f"Expected trait names in {where}, found none")
    fail(faults, path=where, what="trait names, each once,")
    return names


def _faults(row: dict[str, str]) -> list[str]:
    """What is wrong in one row of slides.tsv, each with its column."""
    faults = [
        f"column {name}: expected letters, digits, . _ - only, found {row[name]!r}"
        for name in ("slide", "patient")
        if not SAFE_NAME.fullmatch(row[name])
    ]
    if not row["file"] or "\0" in row["file"]:
        faults.append(f"column file: expected a path, found {row['file']!r}")
    if set("{}") & set(row["file"]):  # to Snakemake they are the marks of a wildcard
        faults.append(f"column file: expected a path without {{ and }}, found {row['file']!r}; rename the file")
    if row["mpp"] and not is_mpp(_number(row["mpp"])):
        faults.append(f"column mpp: expected {MPP_WORDS}, found {row['mpp']!r}{decimal_hint(row['mpp'])}")
    given = [name for name in REGION if row[name]]
    if given and len(given) < len(REGION):
        faults.append(f"columns x, y, width, height: expected all four or none, found only {', '.join(given)}")
    faults += [
        f"column {name}: expected a whole number of level-0 px{' above 0' if low else ''}, found {row[name]!r}"
        for name, low in zip(REGION, (0, 0, 1, 1), strict=True)
        if row[name] and not (row[name].isdecimal() and int(row[name]) >= low)
    ]
    if row["reason"] and not row["exclude"]:
        faults.append(f"column exclude: expected yes or no beside the reason {row['reason']!r}, found a blank")
    if row["sample_type"] and not re.fullmatch(r"\d\d", row["sample_type"]):
        faults.append(f"column sample_type: expected two digits such as 01, found {row['sample_type']!r}")
    if row["dx"] and not row["dx"].isdecimal():
        faults.append(f"column dx: expected the number after DX, found {row['dx']!r}")
    barcode = barcodes.parse(row["slide"])
    if barcode and barcodes.looks_like_tcga(row["patient"]) and barcode.patient != row["patient"]:
        faults.append(f"column patient: expected {barcode.patient} as in the slide's name, found {row['patient']!r}")
    return faults


def _manifest_faults(row: dict[str, str], barcode: barcodes.Barcode | None) -> list[str]:
    """What is wrong in one line of a manifest; ids and names that lead out of the download folder among it."""
    faults = []
    if not _UUID.fullmatch(row["id"].lower()):
        faults.append(f"column id: expected a UUID, found {row['id']!r}")
    if not SAFE_NAME.fullmatch(row["filename"]) or ".." in row["filename"]:
        faults.append(f"column filename: expected a plain file name, found {row['filename']!r}")
    elif barcode is None:
        faults.append(f"column filename: expected a TCGA slide, found {row['filename']!r}; use slides.tsv for others")
    if not re.fullmatch(r"[0-9a-f]{32}", row["md5"].lower()):
        faults.append(f"column md5: expected 32 hexadecimal digits, found {row['md5']!r}")
    if not re.fullmatch(r"[1-9]\d{0,14}", row["size"]):
        faults.append(f"column size: expected a number of bytes, found {row['size']!r}")
    return faults


def _unsuitable(barcode: barcodes.Barcode, sample_types: Sequence[str]) -> str:
    """Why a TCGA slide is not used, or nothing."""
    if barcode.kind != "DX":
        return f"slide kind {barcode.kind or 'unknown'}: only diagnostic slides (DX) are used"
    if barcode.sample_type not in sample_types:
        return f"sample type {barcode.sample_type}: the cohort uses {', '.join(sample_types)}"
    return ""


def _exclusion(flag: str, reason: str) -> str:
    """The reason to exclude a slide from the two columns ``exclude`` (yes, no or the reason itself) and ``reason``."""
    if flag.lower() in _NO:
        return ""
    return reason or ("excluded in the slide sheet" if flag.lower() in _YES else flag)


def _from_barcode(value: str, slide: str, part: str) -> str:
    """``value``, or where it is blank the barcode's part as text."""
    if value:
        return value
    found = getattr(barcodes.parse(slide), part, None)
    return "" if found is None else str(found)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
