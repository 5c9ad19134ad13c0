"""What a sheet of annotations holds: a GeoJSON per slide, or spots with a class."""

import math
from pathlib import Path

import pandas as pd

from histocarta.errors import InputError
from histocarta.tables import decimal_hint, fail, is_number, read_text_table

FILES, SPOTS = ("slide", "file"), ("slide", "x_px", "y_px", "class")


def read_annotations(path: str | Path) -> pd.DataFrame:
    """The sheet, with numbers in x_px and y_px (level-0 px); InputError for other columns or any faulty line."""
    table = read_text_table(path)
    if not {*FILES} <= {*table} and not {*SPOTS} <= {*table}:
        raise InputError(
            f"Expected the columns {', '.join(FILES)} or {', '.join(SPOTS)} in {path}, found {', '.join(table)}"
        )
    chosen = FILES if "file" in table else SPOTS
    problems = []
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        problems += [f"line {line}, column {name}: expected a value, found a blank" for name in chosen if not row[name]]
        problems += [
            f"line {line}, column {name}: expected level-0 pixels, found {row[name]!r}{decimal_hint(row[name])}"
            for name in ("x_px", "y_px")
            if chosen is SPOTS and row[name] and not (is_number(row[name]) and math.isfinite(float(row[name])))
        ]
    fail(problems, path=path, what="annotations")
    kinds = {} if chosen is FILES else {"x_px": float, "y_px": float}
    return table[list(chosen)].astype(kinds)


def annotation_files(path: str | Path) -> list[str]:
    """The GeoJSON files that the sheet names; none of a table of spots, or where there is no such sheet yet."""
    if not Path(path).is_file():
        return []
    table = read_annotations(path)
    return sorted(set(table["file"])) if "file" in table else []
