"""How a user's text table is opened: delimiter, encoding, compression, and the line on which every row stands."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from histocarta.errors import InputError

MISSING_WORDS = frozenset(
    {"", "na", "n/a", "#n/a", "nan", "null", "none", "--", "'--", "unknown", "not available", "not reported",
     "[not available]", "[not applicable]", "[unknown]", "[not evaluated]", "[discrepancy]"}
)  # fmt: skip
"""Words, in lower case, that stand for «no value» in GDC, cBioPortal, R and Excel exports."""
EXCLUSION_COLUMNS = ("stage", "kind", "item", "code", "reason", "count", "outcome")
MAX_UNPACKED_BYTES = 20 * 2**30  # EB++ expression is 1.9 GB; a table beyond 20 GB is a mistake or a decompression bomb
_DEMO = Path("data/demo")  # a fresh checkout plans the demo, whose cohort is simulated and not stored
_SPREADSHEETS = (".xlsx", ".xls", ".ods")
_PAGES = ("<!doctype", "<html", "<?xml")
_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@contextmanager
def open_table(path: str | Path) -> Iterator[BinaryIO]:
    """Open a table, plain or gzip, as bytes after its byte order mark; InputError where it is no text table."""
    path = Path(path)
    if not path.is_file():
        mend = "make data/demo/slides.tsv writes it" if path.parent == _DEMO else "check the path in the config"
        raise InputError(f"Expected the table {path}, found no such file; {mend}")
    if path.suffix.lower() in _SPREADSHEETS:
        raise InputError(f"Expected a text table, found the spreadsheet {path}; save the sheet as tab-separated text")
    with path.open("rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as stream:
        start = stream.read(3)
        for mark, encoding in _BYTE_ORDER_MARKS.items():
            if start.startswith(mark):
                raise InputError(f"Expected UTF-8 text, found {encoding} in {path}; save it as UTF-8")
        if start != b"\xef\xbb\xbf":
            stream.seek(0)
        try:
            yield stream
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"Expected a whole gzip file, found a damaged one: {path}; fetch it again") from error


def header_and_delimiter(path: str | Path) -> tuple[list[str], str, int]:
    """Column names, the delimiter and the header's line number (lines that begin with # before it are skipped).

    The delimiter is a tab where the header holds one, else a comma; semicolons come with decimal commas: refused.
    """
    with open_table(path) as stream:
        for number, line in enumerate(stream, start=1):
            text = _decode(line, path, number).rstrip("\r\n")
            if "\0" in text or text.lstrip().lower().startswith(_PAGES):
                what = "bytes that are no text" if "\0" in text else "a web page"
                raise InputError(f"Expected a table in {path}, found {what} in line {number}; fetch it again")
            if text.startswith("#") or not text.strip():
                continue
            if "\t" not in text and "," not in text and ";" in text:
                raise InputError(f"Expected tabs or commas in {path}, line {number}, found semicolons; save it as TSV")
            delimiter = "\t" if "\t" in text or "," not in text else ","
            return [cell.strip() for cell in split_line(text, delimiter)], delimiter, number
    raise InputError(f"Expected a header line in {path}, found an empty file")


def split_line(text: str, delimiter: str) -> list[str]:
    """Cells of one line; quotes are honoured."""
    return next(csv.reader([text], delimiter=delimiter)) if '"' in text else text.split(delimiter)


def first_column(path: str | Path) -> list[str]:
    """The first cell of every row; InputError naming the first line whose number of cells is not the header's."""
    header, delimiter, header_line = header_and_delimiter(path)
    mark, names, unpacked = delimiter.encode(), [], 0
    with open_table(path) as stream:
        for number, line in enumerate(stream, start=1):
            unpacked += len(line)
            if unpacked > MAX_UNPACKED_BYTES:
                raise InputError(f"Expected at most {MAX_UNPACKED_BYTES / 2**30:.0f} GB of text in {path}, found more")
            if number <= header_line or not line.strip(b" \r\n"):  # a row of tabs is a row to pandas, too
                continue
            if b'"' in line:
                cells = split_line(_decode(line, path, number).rstrip("\r\n"), delimiter)
                name, count = cells[0], len(cells)
            else:
                name, count = _decode(line.split(mark, 1)[0], path, number), line.count(mark) + 1
            if count != len(header):
                raise InputError(
                    f"Expected {len(header)} cells as in the header, found {count} in {path}, line {number}"
                )
            names.append(name.strip())
    return names


def read_text_table(path: str | Path) -> pd.DataFrame:
    """Read a small sheet with every cell as stripped text; the index is each row's line number in the file.

    Raises InputError for a ragged line, a column name that stands twice or is blank, or a table without rows.
    """
    header, _, header_line = header_and_delimiter(path)
    check_columns(header, path=path, line=header_line)
    if not first_column(path):
        raise InputError(f"Expected rows below the header of {path}, found none")
    lines, cells = zip(*read_rows(path), strict=True)
    return pd.DataFrame(list(cells), columns=header, index=pd.Index(lines, name="line"), dtype=str)


def read_rows(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of every row below the header; blank lines are skipped."""
    _, delimiter, header_line = header_and_delimiter(path)
    with open_table(path) as stream:
        for number, line in enumerate(stream, start=1):
            if number > header_line and line.strip():
                text = _decode(line, path, number).rstrip("\r\n")
                yield number, [cell.strip() for cell in split_line(text, delimiter)]


def check_columns(header: list[str], *, path: str | Path, line: int = 1) -> None:
    """InputError where a column name is blank or stands twice (pandas would rename it silently)."""
    if "" in header[1:]:
        raise InputError(f"Expected a name for column {header.index('', 1) + 1} of {path}, line {line}, found a blank")
    twice = sorted({name for name in header if header.count(name) > 1}) if len(set(header)) < len(header) else []
    if twice:
        raise InputError(f"Expected every column once in {path}, line {line}, found twice: {', '.join(twice[:5])}")


def is_missing(text: str) -> bool:
    """Whether a cell stands for «no value»."""
    return text.strip().lower() in MISSING_WORDS


def is_number(text: str) -> bool:
    """Whether a cell is a number with a decimal point (Python's own ``1_000`` is none)."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def decimal_hint(text: str) -> str:
    """What to do about a cell that would be a number with a point where it has a comma; else nothing."""
    return "; write decimals with a point" if is_number(text.replace(",", ".", 1)) and "," in text else ""


def require_columns(frame: pd.DataFrame, names: list[str], *, path: str | Path) -> None:
    """InputError naming the columns of ``names`` that ``frame`` lacks and those that it has."""
    absent = [name for name in names if name not in frame.columns]
    if absent:
        found = ", ".join(frame.columns[:30])
        raise InputError(f"Expected the column(s) {', '.join(absent)} in {path}, found: {found}")


def fail(problems: list[str], *, path: str | Path, what: str) -> None:
    """Raise one InputError for all ``problems`` of a file; nothing where there is none."""
    if problems:
        shown = problems[:50] + ([f"… and {len(problems) - 50} more"] if len(problems) > 50 else [])
        raise InputError(f"Expected {what} in {path}; {len(problems)} problem(s):\n  " + "\n  ".join(shown))


def exclusion(
    stage: str, kind: str, item: str, code: str, reason: str, *, count: int = 1, outcome: str = "excluded"
) -> dict[str, str | int]:
    """One row of an exclusions table: what (slide, patient, trait, sample, tile) was left out, where and why.

    ``outcome`` ``noted``: it was not left out, but there is this to know of it.
    """
    return {
        "stage": stage, "kind": kind, "item": item, "code": code, "reason": reason, "count": count, "outcome": outcome
    }  # fmt: skip


def totals(stage: str, kind: str, *, found: int, used: int, what: str) -> list[dict[str, str | int]]:
    """How many of a kind came in and how many went on, counted apart from the rows between: the ledger adds them up."""
    return [
        exclusion(stage, kind, "", "", what, count=found, outcome="in"),
        exclusion(stage, kind, "", "", f"{what}, used", count=used, outcome="used"),
    ]


def exclusions_table(rows: list[dict]) -> pd.DataFrame:
    """Exclusion rows as a table with the columns that every exclusions file has."""
    return pd.DataFrame(rows, columns=list(EXCLUSION_COLUMNS))


def _decode(line: bytes, path: str | Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"Expected UTF-8 text, found other bytes in {path}, line {number}; save it as UTF-8"
        ) from error


def as_text_stream(stream: BinaryIO) -> io.TextIOWrapper:
    """The opened table as UTF-8 text, for the CSV readers; use it in a ``with``, at whose end both are closed."""
    return io.TextIOWrapper(stream, encoding="utf-8", newline="")
