"""How an expression matrix is read: names, duplicates, orientation, scale; every doubt is settled by a stated rule."""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet as parquet

from histocarta import barcodes
from histocarta.errors import InputError, nearest
from histocarta.scales import check_scale
from histocarta.tables import (
    MISSING_WORDS,
    as_text_stream,
    check_columns,
    decimal_hint,
    exclusion,
    exclusions_table,
    first_column,
    header_and_delimiter,
    is_missing,
    is_number,
    open_table,
    read_rows,
    totals,
)

Chooser = Callable[[Sequence[str]], list[str]]
"""From the sample names of a table to those that are wanted."""

# Excel writes months in the language of the machine: 2-Mar, 02. Mrz, 2-mars.
_MONTH = (
    "jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec|mrz|mär|märz|mai|okt|dez|mars|avr|juin|juil|août|févr|janv|déc"
)
_EXCEL_DATE = re.compile(
    rf"\d{{1,2}}(?:-|\.? )(?:{_MONTH})\.?(?:[- ]\d{{2,4}})?|(?:{_MONTH})[- ]\d{{1,4}}|\d{{4}}-\d\d-\d\d"
    r"|\d+/\d+/\d+|\d{1,2}\.\d{1,2}\.\d{2,4}",
    re.IGNORECASE,
)
_EXCEL_SERIAL = re.compile(r"(?:3[6-9]|4\d)\d{3}")  # days since 1900: 1998 to 2036
_MISSING_SPELLINGS = sorted({"NaN"} | {text for word in MISSING_WORDS for text in (word, word.upper(), word.title())})
# Renamed by HGNC, partly because Excel took the old names for dates; and three PAM50 genes under their names of 2009.
_RENAMED = (
    (r"SEPT(\d+)", r"SEPTIN\1"), (r"MARCH(\d+)", r"MARCHF\1"), (r"MARC([12])", r"MTARC\1"), (r"DEC1()", r"DELEC1\1"),
    (r"KNTC2()", r"NDC80\1"), (r"CDCA1()", r"NUF2\1"), (r"ORC6L()", r"ORC6\1"),
)  # fmt: skip


def read_expression(
    path: str | Path, *, orientation: str, scale: str, duplicates: str, choose: Chooser | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read one matrix as samples × traits (float64, NaN = not measured), with what was left out and why.

    ``choose`` picks the wanted samples by name, so that a table of 11,000 samples is not held whole. Traits keep their
    full names (``SYMBOL|ENTREZ``). Left out with a row in the second table: Excel dates (never mapped back: MARCH2 and
    MARC2 both became 2-Mar), ``?|ENTREZ``, merged duplicates; all-NaN traits stay and are noted, as is a
    doubtful scale. Its last rows say how many traits came and went on.
    Raises InputError for a repeated sample or (with ``duplicates: error``) trait, text among the numbers, a transposed
    table, and values that the declared scale cannot have.
    """
    by_traits = orientation == "traits_by_samples"
    load = _load_parquet if Path(path).suffix == ".parquet" else _load_text
    frame, first_line = load(path, choose=choose, by_traits=by_traits)
    frame = frame.T if by_traits else frame
    found = frame.shape[1]
    # Where a trait stands in the file: its line, or its column (the first holds the samples' names).
    places = [f"line {first_line + n}" if by_traits else f"column {2 + n}" for n in range(frame.shape[1])]
    frame, places, left_out = _cleaned_names(frame, places)
    frame, merged = _without_duplicates(frame, places, duplicates=duplicates, path=path)
    doubts = check_scale(frame, scale=scale, path=path)
    empty = [
        exclusion("expression", "trait", name, "B-NOVALUE", f"no value in any sample of {path}", outcome="noted")
        for name in (frame.columns[frame.isna().all()] if len(frame) else [])
    ]
    frame.index.name, frame.columns.name = "sample", None
    sums = totals("expression", "trait", found=found, used=frame.shape[1], what=f"traits of {path}")
    return frame, exclusions_table([*left_out, *merged, *empty, *doubts, *sums])


def find_trait(trait: str, *, names: Iterable[str], table: str) -> str:
    """The name in ``names`` that a trait is kept under: in full, its symbol before ``|``, or its symbol of other years.

    Raises InputError where there is none, naming the nearest, and where a symbol stands for several ids.
    """
    by_symbol: dict[str, list[str]] = {}
    for name in names:
        if name == trait:
            return trait
        by_symbol.setdefault(name.split("|")[0], []).append(name)
    for symbol in (trait, *_other_symbols(trait)):
        found = by_symbol.get(symbol, [])
        if len(found) > 1:
            raise InputError(
                f"Expected one trait {trait!r} in {table}, found {', '.join(found)}; name one of them in full."
            )
        if found:
            return found[0]
    hint = "; Excel may have turned it into a date, see B-EXCEL in exclusions.tsv" if _excel_prone(trait) else ""
    raise InputError(
        f"Expected trait {trait!r} among the {sum(map(len, by_symbol.values())):,} traits of {table}, found none"
        f"{nearest(trait, by_symbol)}{hint}; correct the trait list, or add the trait to the expression table."
    )


def trait_columns(expression: str, traits: Sequence[str]) -> list[str]:
    """The columns of a cohort's cleaned expression table that hold ``traits``, in that order."""
    names = [name for name in parquet.read_schema(expression).names if name != "sample"]
    return [find_trait(trait, names=names, table=expression) for trait in traits]


def _other_symbols(trait: str) -> list[str]:
    """The symbols that a gene had before or got after a renaming."""
    other = []
    for old, new in _RENAMED:
        forward, backward = re.fullmatch(old, trait), re.fullmatch(re.sub(r"\\1", r"(\\d*)", new), trait)
        if forward:
            other.append(forward.expand(new))
        if backward:
            other.append(re.sub(r"\(.*\)", backward[1], old))
    return other


def _excel_prone(trait: str) -> bool:
    return re.fullmatch(r"(SEPT|SEPTIN|MARCH|MARCHF|MARC|MTARC|DEC|DELEC)\d+", trait) is not None


def _load_parquet(path: str | Path, *, choose: Chooser | None, by_traits: bool) -> tuple[pd.DataFrame, int]:
    """A Parquet matrix: names in the index or, where that is a plain count, in the first column."""
    if not Path(path).is_file():
        raise InputError(f"Expected the table {path}, found no such file; check the path in the config")
    try:
        frame = pd.read_parquet(path)
    except (pyarrow.ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"Expected a whole Parquet file, found a damaged one: {path}; fetch it again ({said})"
        ) from error
    if isinstance(frame.index, pd.RangeIndex):
        first = frame.columns[0]
        if pd.api.types.is_numeric_dtype(frame[first]):
            raise InputError(
                f"Expected names in the index or the first column of {path}, found numbers in column {str(first)!r}; "
                "write it with its index"
            )
        frame = frame.set_index(first)
    frame.index, frame.columns = frame.index.astype(str), frame.columns.astype(str)
    check_columns([str(frame.index.name or ""), *frame.columns], path=path)
    samples, other = (frame.columns, frame.index) if by_traits else (frame.index, frame.columns)
    kept = _chosen(list(samples), list(other), choose=choose, path=path)
    text = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    if text:
        raise InputError(f"Expected numbers in {path}, found another type in column {text[0]!r}")
    return (frame[kept] if by_traits else frame.loc[kept]).astype(float), 1


def _load_text(path: str | Path, *, choose: Chooser | None, by_traits: bool) -> tuple[pd.DataFrame, int]:
    """A text matrix and the line of its first row; only the wanted samples are converted to numbers."""
    header, delimiter, header_line = header_and_delimiter(path)
    check_columns(header, path=path, line=header_line)
    rows = first_column(path)
    samples, other = (header[1:], rows) if by_traits else (rows, header[1:])
    wanted = set(_chosen(samples, other, choose=choose, path=path))
    columns = [number for number, name in enumerate(header) if number and (not by_traits or name in wanted)]
    if not columns:
        return pd.DataFrame(index=rows, dtype=float), header_line + 1
    if not rows:
        raise InputError(f"Expected rows below the header of {path}, found none")
    try:
        with open_table(path) as stream, as_text_stream(stream) as text:
            frame = pd.read_csv(
                text, sep=delimiter, header=None, skiprows=header_line, usecols=columns, keep_default_na=False,
                dtype=dict.fromkeys(columns, np.float64), na_values=dict.fromkeys(columns, _MISSING_SPELLINGS),
            )  # fmt: skip
        frame.index = pd.Index(rows)
    except ValueError:
        frame = _cell_by_cell(path, columns=columns, wanted=None if by_traits else wanted)
    frame.columns = [header[number] for number in columns]
    return frame if by_traits else frame[frame.index.isin(wanted)], header_line + 1


def _cell_by_cell(path: str | Path, *, columns: list[int], wanted: set[str] | None) -> pd.DataFrame:
    """The numbers of a text matrix that pandas cannot read: it has blanks around them, or text, which is named.

    columns : which cells of a row are used; wanted : the names of the rows that are, None for all.
    """
    header, _, _ = header_and_delimiter(path)
    names, values = [], []
    for line, cells in read_rows(path):
        if wanted is not None and cells[0] not in wanted:
            continue
        for number in columns:
            if not (is_missing(cells[number]) or is_number(cells[number])):
                found = f"column {header[number]!r}, found {cells[number]!r}{decimal_hint(cells[number])}"
                raise InputError(f"Expected a number in {path}, line {line}, {found}")
        names.append(cells[0])
        values.append([np.nan if is_missing(cells[number]) else float(cells[number]) for number in columns])
    return pd.DataFrame(np.array(values, float).reshape(len(names), len(columns)), index=pd.Index(names, dtype=object))


def _chosen(samples: list[str], other: list[str], *, choose: Chooser | None, path: str | Path) -> list[str]:
    """The wanted samples; InputError where they stand on the other axis, or where one stands twice."""
    kept = choose(samples) if choose else samples
    tcga = [name for name in other if barcodes.looks_like_tcga(name)]
    across = tcga if choose is None else (choose(other) if not kept else [])
    if across and not any(map(barcodes.looks_like_tcga, kept)):
        raise InputError(
            f"Expected samples on the declared axis of {path}, found them on the other (such as {across[0]!r}); "
            "the table is transposed: change its orientation in the config"
        )
    twice = sorted({name for name in kept if kept.count(name) > 1}) if len(set(kept)) < len(kept) else []
    if twice:
        raise InputError(f"Expected every sample once in {path}, found twice: {', '.join(twice[:5])}")
    return kept


def _cleaned_names(frame: pd.DataFrame, places: list[str]) -> tuple[pd.DataFrame, list[str], list[dict]]:
    """Leave out traits whose name is lost: dates made by Excel, ``?`` and blanks."""
    names = [str(name).strip() for name in frame.columns]
    numeric = sum(name.isdecimal() for name in names)
    serials = numeric < len(names) / 2  # a table of Entrez ids is all numbers, and no number in it is a date
    dates = [bool(_EXCEL_DATE.fullmatch(n)) or (serials and bool(_EXCEL_SERIAL.fullmatch(n))) for n in names]
    nameless = [name.split("|")[0] in ("", "?") for name in names]
    reason = "looks like a gene name turned into a date by Excel; mend it in the file"
    left_out = [
        exclusion("expression", "trait", name, "B-EXCEL", f"{place} {name!r} {reason}")
        for name, place, date in zip(names, places, dates, strict=True)
        if date
    ]
    left_out += [
        exclusion("expression", "trait", name or place, "B-NONAME", f"{place}: a trait without a symbol")
        for name, place, lost in zip(names, places, nameless, strict=True)
        if lost
    ]
    keep = ~(np.array(dates, bool) | np.array(nameless, bool))
    frame = frame.set_axis(names, axis=1)
    return (frame if keep.all() else frame.loc[:, keep]), list(compress(places, keep)), left_out


def _without_duplicates(
    frame: pd.DataFrame, places: list[str], *, duplicates: str, path: str | Path
) -> tuple[pd.DataFrame, list[dict]]:
    """One column per trait name by the rule ``duplicates``: error, mean, max (row with the highest mean) or first."""
    repeated = frame.columns[frame.columns.duplicated()].unique()
    if repeated.empty:
        return frame, []
    if duplicates == "error":
        place = " and ".join(compress(places, frame.columns == repeated[0]))
        raise InputError(
            f"Expected every trait once in {path}, found {repeated[0]!r} in {place} ({len(repeated)} such name(s)); "
            "mend the file or set duplicates to mean, max or first"
        )
    columns = {}
    for name in repeated:
        copies = frame.loc[:, frame.columns == name]
        if duplicates == "mean":
            columns[name] = copies.mean(axis=1)
        else:
            means = copies.mean().fillna(-np.inf).to_numpy()
            columns[name] = copies.iloc[:, int(means.argmax()) if duplicates == "max" else 0]
    merged = [
        exclusion("expression", "trait", name, "B-DUP", f"several rows made one by {duplicates!r}", count=int(n) - 1)
        for name, n in frame.columns.value_counts().reindex(repeated).items()
    ]
    single = frame.loc[:, ~frame.columns.duplicated()].copy()
    for name, values in columns.items():
        single[name] = values.to_numpy()
    return single, merged
