"""What the columns of a slide sheet are called, which cells of them are blanks, and which names are slips."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from histocarta.errors import InputError
from histocarta.tables import header_and_delimiter, is_missing, require_columns

REQUIRED = ("slide", "patient", "file")
REGION = ("x", "y", "width", "height")
SLIDE_COLUMNS = (*REQUIRED, "mpp", *REGION, "block", "batch", "priority", "exclude", "sample_type", "dx")
KNOWN = (*SLIDE_COLUMNS, "reason", "region")
# Columns that people keep in their sheets and that one letter makes a known one; no one means height by weight.
_OTHER_WORDS = frozenset({"weight", "season"})


def named_columns(table: pd.DataFrame, *, path: str | Path) -> pd.DataFrame:
    """The sheet with every known column; the optional are blank where they had none or a word for «no value».

    Raises InputError for a required column that is missing, a column whose name is nearly a known one, and a column
    ``reason`` without ``exclude``: whether its slides are meant to be left out cannot be told.
    """
    require_columns(table, list(REQUIRED), path=path)
    _refuse_near_misses(table.columns, path=path)
    optional = [name for name in KNOWN if name not in REQUIRED]
    cells = {name: table[name].mask(table[name].map(is_missing), "") for name in optional if name in table}
    table = table.assign(**{name: cells.get(name, "") for name in optional})
    if "exclude" not in cells and (table["reason"] != "").any():
        raise InputError(
            f"Expected the column exclude (yes or no) beside the column reason in {path}, found reason alone; add it, "
            "or give reason another name"
        )
    return table


def ignored_columns(path: str | Path) -> list[str]:
    """The columns of a slide sheet that say nothing here: people keep more in their sheets than a workflow reads."""
    header, _, _ = header_and_delimiter(path)
    return [name for name in header if name not in KNOWN]


def region_faults(row: dict[str, str]) -> list[str]:
    """What is wrong with a row's ``region``, of which ``x`` to ``height`` are filled where nothing is."""
    cell = row["region"]
    if not cell:
        return []
    parts = [part.strip() for part in cell.split(",")]
    if len(parts) != len(REGION):
        return [f"column region: expected {','.join(REGION)} in level-0 px, found {cell!r}"]
    if any(row[name] for name in REGION):
        return [f"column region: expected a region once, found it in {', '.join(REGION)} too"]
    row.update(zip(REGION, parts, strict=True))
    return []


def _refuse_near_misses(columns: Iterable[str], *, path: str | Path) -> None:
    names = list(columns)
    lacking = [name for name in KNOWN if name not in names]
    for column in names:
        near = next((name for name in lacking if _nearly(column, name)), None) if column not in KNOWN else None
        if near:
            raise InputError(
                f"Expected the columns {', '.join(KNOWN)} in {path}, found {column!r}, which is not one of them; "
                f"nearest: {near}; rename it, or give it a name that is not mistaken for one"
            )


def _nearly(column: str, known: str) -> bool:
    """Whether ``column`` is ``known`` in another case or punctuation, or a slip of one letter away from it."""
    letters = ["".join(char for char in name.lower() if char.isalnum()) for name in (column, known)]
    if letters[0] == letters[1]:
        return True
    return len(known) > 2 and letters[0] not in _OTHER_WORDS and _one_slip(*letters)


def _one_slip(first: str, second: str) -> bool:
    """Whether one letter added, lost, changed or swapped with its neighbour makes one word the other."""
    short, long = sorted((first, second), key=len)
    start = next((n for n, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1]), len(short))
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    if short[start + 1 :] == long[start + 1 :]:
        return True
    swapped = short[:start] + short[start : start + 2][::-1] + short[start + 2 :]
    return swapped == long
