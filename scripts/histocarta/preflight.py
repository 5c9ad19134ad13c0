"""What a run asks before it submits its first job: can the tables be read, are the slides there. It writes nothing."""

import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pandas as pd

from histocarta.cohort import prepare_cohort
from histocarta.config import Study
from histocarta.errors import InputError
from histocarta.files import read_json
from histocarta.settings import Cohort

_SHEETS = {"slides": "slides.tsv", "expression": "expression.parquet", "clinical": "clinical.parquet",
           "exclusions": "exclusions.tsv"}  # fmt: skip


def check_tables(study: Study, *, configs: Iterable[str | Path] = (), results: str | Path = "results") -> None:
    """Raise one InputError for the cohorts whose tables the rule ``prepare_cohort`` would fail on.

    Tables that, with the study's config files, are older than what that rule made of them (``results``/<cohort>/sheets)
    have been read before and are not read again: all of TCGA's expression takes half a minute.
    """
    faults = []
    for name, cohort in study.cohorts.items():
        if _unread(cohort, configs, Path(results) / name / "sheets" / _SHEETS["exclusions"]):
            try:
                with cleaned_sheets(cohort):
                    pass
            except InputError as error:
                faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))


def is_absent(file: str, *, slide: str, cohort: str, results: str | Path = "results") -> bool:
    """Whether a slide is left out because its ``file`` is not there, nor was when the slide was surveyed.

    A file that went away after that stays an input, so that what was made from it is kept.
    """
    if Path(file).exists():
        return False
    survey = Path(results) / cohort / "slides" / slide / "slide.json"
    return not survey.is_file() or read_json(survey)["code"] == "S-ABSENT"


def check_slides(sheet: pd.DataFrame, *, cohort: str, max_excluded: float) -> None:
    """Raise InputError where more slides of a cohort (index slide; column file) are absent than may be excluded.

    A few are left out, with their names in the ledger; where many are, a disk is not mounted or a path is wrong.
    """
    used = sheet.loc[sheet["exclude"] == "", "file"]
    absent = [file for slide, file in used.items() if is_absent(file, slide=slide, cohort=cohort)]
    if len(absent) > max(1, max_excluded * len(sheet)):
        raise InputError(
            f"Expected the slide files of {cohort}, found those of {len(absent):,} of {len(sheet):,} slides not there "
            f"(such as {absent[0]}); correct the paths in the slide sheet, or raise max_excluded ({max_excluded:.0%})"
        )


@contextmanager
def cleaned_sheets(cohort: Cohort) -> Iterator[dict[str, str]]:
    """Paths of a cohort's cleaned sheets by name (slides, expression, clinical, exclusions) in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="histocarta-") as folder:
        paths = {name: f"{folder}/{file}" for name, file in _SHEETS.items()}
        with redirect_stdout(io.StringIO()):  # its counts stand in the log of the rule
            prepare_cohort(**cohort.preparation(), **paths)
        yield paths


def _unread(cohort: Cohort, configs: Iterable[str | Path], cleaned: Path) -> bool:
    """Whether a table of the cohort is missing, or it or a config file newer than ``cleaned``, or that is missing."""
    if not cleaned.is_file():
        return True
    tables = [path for paths in cohort.files().values() for path in ([paths] if isinstance(paths, str) else paths)]
    made = cleaned.stat().st_mtime
    return any(not Path(path).is_file() or Path(path).stat().st_mtime > made for path in (*tables, *configs))
