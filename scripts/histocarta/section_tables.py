"""How the text tables of spatial transcriptomics are read: counts by spots named XxY, positions, classes of spots."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from histocarta.errors import InputError, nearest
from histocarta.section_formats import ST_DIAMETER, ST_PITCH, Measured, pixels_of, unique_names, whole_numbers
from histocarta.tables import decimal_hint, header_and_delimiter, is_missing, is_number, read_rows

_PLACE = re.compile(r"(-?\d+(?:\.\d+)?)x(-?\d+(?:\.\d+)?)")
_HEADLESS = ("x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected")
_NOT_SELECTED = ("0", "0.0", "FALSE", "False")
_DECIMALS = 3  # with which the ids of adjusted places are written: 9.965x12.994


def read_st(counts: str | Path, spots: str | Path) -> Measured:
    """Tables of spatial transcriptomics (Ståhl 2016; He 2020; Andersson 2021): row = y, col = x of the spot's id XxY.

    counts : spots × genes, the spot's id first. Where ids are not whole (9.965x12.994, places adjusted to the image)
    the spot file's new_x and new_y name the spot, and its x and y, else the rounded id, give the lattice.
    spots : x, y, pixel_x, pixel_y (and new_x, new_y, selected: 0 is left out), the same without a header, or the
    spot's id and its px. Raises InputError naming file, row and column.
    """
    matrix, ids, genes = _read_counts(counts)
    places = [_PLACE.fullmatch(name) for name in ids]
    adjusted = any("." in name for name in ids)
    table = _read_spots(spots)
    by_place = "id" not in table and all(places)
    if by_place:
        columns = ["new_x", "new_y"] if adjusted and {"new_x", "new_y"} <= {*table} else ["x", "y"]
        keys = [_key(*pair) for pair in table[columns].to_numpy()]
        own = {_key(*place.groups()): name for name, place in zip(ids, places, strict=True)}
        table = table.set_axis([own.get(key, f"{key[0]:g}x{key[1]:g}") for key in keys])
    else:
        table = table.set_index("id") if "id" in table else table.set_axis(table["x"] + "x" + table["y"])
    selected = (~table["selected"].isin(_NOT_SELECTED)).to_numpy() if "selected" in table else np.ones(len(table), bool)
    x, y = (_lattice(table[name], source=str(spots), rounded=adjusted) for name in ("x", "y"))
    pixels = {f"{axis}_px": pixels_of(table[f"pixel_{axis}"], source=str(spots)) for axis in "xy"}
    others = table.drop(columns=["x", "y"])
    positions = pd.concat([pd.DataFrame({"row": y, "col": x, **pixels}, index=table.index), others], axis=1)
    return Measured(
        format="st",
        source=str(counts),
        counts=matrix,
        ids=ids,
        genes=unique_names(genes),
        positions=positions[selected],
        pitch_um=ST_PITCH,
        diameter_um=ST_DIAMETER,
        left_out={"not selected": int((~selected).sum())} if "selected" in table else {},
    )


def read_classes(path: str | Path, positions: pd.DataFrame) -> pd.Series:
    """The class of every spot of ``positions`` by a table of its own; "" where it says nothing of the spot.

    The table has the spot's place in x and y (rounded), or its id in ``spot`` or else the first column; and its class
    in ``class``, ``label`` or the only other column. Raises InputError where none of its spots is of the section.
    """
    header, _, _ = header_and_delimiter(path)
    table = pd.DataFrame([cells for _, cells in read_rows(path)], columns=header)
    by_place = "spot" not in header and {"x", "y"} <= {*header}
    name = "spot" if "spot" in header else header[0]
    others = [column for column in header if column not in ({"x", "y"} if by_place else {name})]
    column = next((column for column in ("class", "label", *others[: len(others) == 1]) if column in others), None)
    if column is None:
        raise InputError(f"Expected a column class or label in {path}, found {', '.join(header)}; name it so")
    if by_place:
        place = [np.rint(pixels_of(table[axis], source=str(path))).astype(int) for axis in ("y", "x")]
        keys, own = list(zip(*place, strict=True)), list(zip(positions["row"], positions["col"], strict=True))
    else:
        keys, own = list(table[name]), list(positions.index)
    classes = {key: "" if is_missing(found) else found for key, found in zip(keys, table[column], strict=True)}
    if not any(key in classes for key in own):
        raise InputError(
            f"Expected spots of the section in {path}, found {_few(keys)}; the section has {_few(own)}; name its own"
        )
    return pd.Series([classes.get(key, "") for key in own], index=positions.index, dtype=object)


def _few(names: Sequence) -> str:
    return ", ".join(map(str, names[:3])) or "none"


def _read_counts(path: str | Path) -> tuple[sparse.csr_matrix, pd.Index, pd.Index]:
    """Counts row by row, sparse from the start: sections have 30,000 genes, of which a spot shows a tenth.

    A header of genes only, as R writes it, is understood.
    """
    header, _, header_line = header_and_delimiter(path)
    rows, ids, genes = [], [], header[1:]
    for number, cells in read_rows(path):
        if not rows and len(cells) == len(header) + 1:
            genes = header
        if len(cells) != len(genes) + 1:
            raise InputError(f"Expected {len(genes) + 1} cells as in line {header_line} of {path}, found {len(cells)} "
                             f"in line {number}; write the table again")  # fmt: skip
        rows.append(sparse.csr_matrix(_numbers(cells[1:], genes, path=path, line=number)[None]))
        ids.append(cells[0])
    if not rows:
        raise InputError(f"Expected spots below the header of {path}, found none")
    if _PLACE.fullmatch(genes[0]) and not any(map(_PLACE.fullmatch, ids)):
        raise InputError(f"Expected spots (XxY) as rows and genes as columns in {path}, found {genes[0]!r} as a "
                         "column; turn the table")  # fmt: skip
    return sparse.vstack(rows, format="csr"), pd.Index(ids), pd.Index(genes)


def _numbers(cells: list[str], genes: list[str], *, path: str | Path, line: int) -> np.ndarray:
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        wrong = next(place for place, cell in enumerate(cells) if not is_number(cell))
        raise InputError(
            f"Expected counts in {path}, line {line}, column {genes[wrong]}, found {cells[wrong]!r}"
            f"{decimal_hint(cells[wrong])}; write 0 where nothing was counted"
        ) from None


def _read_spots(path: str | Path) -> pd.DataFrame:
    """The spot file as text: x, y, pixel_x, pixel_y and what else it has, ``id`` where it names spots by their id."""
    header, _, _ = header_and_delimiter(path)
    rows, lines = [cells for _, cells in read_rows(path)], [line for line, _ in read_rows(path)]
    if is_number(header[0]) or _PLACE.fullmatch(header[0]):
        rows, lines = [header, *rows], [1, *lines]
        header = ["id", "pixel_x", "pixel_y"] if len(header) == 3 else list(_HEADLESS[: len(header)])
        header = ["x", "y", "pixel_x", "pixel_y"] if len(header) == 4 else header
    elif len(header) == 3 and header[1:] == ["X", "Y"]:  # He 2020: «,X,Y»
        header = ["id", "pixel_x", "pixel_y"]
    for line, cells in zip(lines, rows, strict=True):
        if len(cells) != len(header):
            raise InputError(f"Expected {len(header)} cells in {path}, line {line}, found {len(cells)}; mend the line")
    table = pd.DataFrame(rows, columns=header, dtype=str)
    known = ("id", *_HEADLESS)
    needed = ["pixel_x", "pixel_y"] + ([] if "id" in table else ["x", "y"])
    if lacking := [name for name in needed if name not in table]:
        hints = "".join(nearest(name, set(table) - set(known)) for name in lacking[:1])
        raise InputError(
            f"Expected the columns x, y, pixel_x, pixel_y, or an id and its px, in {path}, found "
            f"{', '.join(header)}; {lacking[0]} is missing{hints}"
        )
    if "id" in table and "x" not in table:
        places = [_PLACE.fullmatch(name) for name in table["id"]]
        if wrong := [name for name, place in zip(table["id"], places, strict=True) if not place]:
            raise InputError(f"Expected spots named XxY in {path}, found {wrong[0]!r}; add the columns x and y")
        table["x"], table["y"] = ([place[axis] for place in places] for axis in (1, 2))
    return table


def _lattice(values: pd.Series, *, source: str, rounded: bool) -> np.ndarray:
    """Whole places; of adjusted ones that the file gives nothing better for, the nearest."""
    if rounded and values.str.contains(".", regex=False).any():
        return np.rint(pixels_of(values, source=source)).astype(int)
    return whole_numbers(values, source=source)


def _key(x: str, y: str) -> tuple[float, float]:
    """A place as numbers that can be compared; NaN, which equals nothing, for what is no number."""
    numbers = [float(value) if is_number(value) else float("nan") for value in (x, y)]
    return round(numbers[0], _DECIMALS), round(numbers[1], _DECIMALS)
