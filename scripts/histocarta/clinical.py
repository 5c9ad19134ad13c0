"""What a clinical sheet says of survival: time, unit and event in the words of GDC, cBioPortal and plain tables."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from histocarta import barcodes
from histocarta.errors import InputError, nearest
from histocarta.tables import decimal_hint, exclusion, exclusions_table, fail, is_missing, read_text_table, totals

MONTHS_PER = {"days": 12 / 365.25, "months": 1.0, "years": 12.0}
LONGEST_MEDIAN = 200.0  # months: beyond it the times are more likely days
WORDS = {
    "event": {0: r"0(\.0)?|0:.*|living|alive|censored|no|false", 1: r"1(\.0)?|1:.*|deceased|dead|died|event|yes|true"},
    "censorship": {0: r"1(\.0)?|censored|yes|true", 1: r"0(\.0)?|uncensored|event|no|false"},
}
"""By the column's role the words, in lower case, for no event (0) and for an event (1).

cBioPortal writes ``1:DECEASED`` since v3.4 and ``DECEASED`` before. In a censorship column 1 is no event; alive and
dead are no words of it, since nobody can say whether the column's name or its words are meant.
"""
_SPELLINGS = {
    "event": ("1:DECEASED", "DECEASED", "Dead", "died", "event", "yes", "TRUE", "1", "0:LIVING", "LIVING", "Alive",
              "censored", "no", "FALSE", "0"),
    "censorship": ("censored", "yes", "TRUE", "1", "uncensored", "event", "no", "FALSE", "0"),
}  # fmt: skip
# First name found wins; in lower case, with anything but letters and digits as one underscore.
_NAMES = {
    "patient": ("patient", "patient_id", "bcr_patient_barcode", "case_submitter_id", "submitter_id", "case_id"),
    "time": ("time", "os_months", "overall_survival_months", "survival_months", "os_days", "os_time"),
    "event": ("event", "os_status", "overall_survival_status", "vital_status"),
    "censorship": ("censorship", "censored"),
    "death": ("days_to_death",),
    "follow_up": ("days_to_last_follow_up", "days_to_last_followup"),
}


def read_clinical(path: str | Path, *, time_unit: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a clinical sheet as patient, time (months), event (0/1) and covariates, with the patients left out and why.

    Known are ``event`` columns (``1:DECEASED``, ``Dead``, yes, 1 …), ``censorship`` columns (1, yes or censored: no
    event), and GDC's days_to_death with days_to_last_follow_up, of which the death date counts for the dead. Left out:
    missing or negative time, missing event. A covariate whose values are all numbers becomes a float column, others
    stay text; of a patient's rows the first speaks, and where others differ from it the second table notes it, and
    how many patients came and went on.
    Raises one InputError for unknown words, text as time and rows of one patient that contradict each other; another
    where nobody has an event.
    """
    table = read_text_table(path)
    names = _columns(table, path=path)
    _check_unit(names, time_unit=time_unit, path=path)
    events, problems = _events(table, names)
    times, more = _times(table, names, events=events)
    problems += more
    patients = [_patient(text) for text in table[names["patient"]]]
    covariates = table.drop(columns=list(names.values()))
    frame = pd.DataFrame({"patient": patients, "time": times, "event": events}, index=table.index).join(covariates)
    problems += _contradictions(frame)
    fail(problems, path=path, what="a clinical sheet")
    found, noted = frame["patient"].nunique(), _repeated(frame)
    frame = frame.drop_duplicates("patient")
    unit = "days" if "death" in names else time_unit
    frame["time"] *= MONTHS_PER[unit]
    frame, left_out = _usable(frame)
    if not (frame["event"] == 1).any():
        raise InputError(
            f"Expected at least one event (death) in {path}, column {names.get('event', names.get('censorship'))!r}, "
            f"found none among {len(frame)} patients"
        )
    if frame["time"].median() > LONGEST_MEDIAN:
        median = frame["time"].median()
        warnings.warn(f"{path}: the median time is {median:.0f} months; is {time_unit} the right unit?", stacklevel=2)
    frame["event"] = frame["event"].astype(int)
    for name in covariates.columns:
        frame[name] = _covariate(frame[name])
    sums = totals("clinical", "patient", found=found, used=len(frame), what="patients of the clinical sheet")
    return frame.reset_index(drop=True), exclusions_table([*left_out, *noted, *sums])


def _columns(table: pd.DataFrame, *, path: str | Path) -> dict[str, str]:
    """The sheet's own names of the columns that are known here, by their role."""
    plain = {re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"): name for name in reversed(table.columns)}
    names = {}
    for role, known in _NAMES.items():
        found = next((plain[name] for name in known if name in plain), None)
        if found is not None:
            names[role] = found
    if "time" in names or "death" not in names or "follow_up" not in names:
        names.pop("death", None)
        names.pop("follow_up", None)
    if "event" in names and "censorship" in names:
        raise InputError(f"Expected either an event or a censorship column in {path}, found both; remove one")
    lacking = [role for role in ("patient", "time", "event") if not {role, *_STAND_INS.get(role, ())} & set(names)]
    if lacking:
        known = "; ".join(f"{role}: {', '.join(_NAMES[role])}" for role in lacking)
        raise InputError(
            f"Expected columns for {', '.join(lacking)} in {path} ({known}), found: {', '.join(table.columns)}"
        )
    return names


_STAND_INS = {"time": ("death",), "event": ("censorship",)}


def _check_unit(names: dict[str, str], *, time_unit: str, path: str | Path) -> None:
    """InputError where the time column's name states another unit than the config."""
    name = names.get("time", "")
    stated = [unit for unit in MONTHS_PER if unit in name.lower()]
    if stated and time_unit not in stated:
        raise InputError(
            f"Expected times in {time_unit} (time_unit in the config), found the column {name!r} in {path}"
        )


def _events(table: pd.DataFrame, names: dict[str, str]) -> tuple[list[float], list[str]]:
    """1.0, 0.0 or NaN per row, and the words that are none of these."""
    role = "event" if "event" in names else "censorship"
    column = names[role]
    events, problems = [], []
    for line, text in table[column].items():
        value = next((float(v) for v, words in WORDS[role].items() if re.fullmatch(words, text.lower())), np.nan)
        if np.isnan(value) and not is_missing(text):
            known = "" if problems else f" ({role} columns know {', '.join(_SPELLINGS[role])})"
            hint = nearest(text, _SPELLINGS[role])
            problems.append(f"line {line}, column {column}: B-STATUS {text!r}{hint}{known}")
        events.append(value)
    return events, problems


def _times(table: pd.DataFrame, names: dict[str, str], *, events: list[float]) -> tuple[np.ndarray, list[str]]:
    """Time per row in the sheet's unit, NaN where missing, and the cells that are no numbers."""
    values, problems = {}, []
    for role in ("time", "death", "follow_up"):
        if role not in names:
            continue
        column = table[names[role]]
        missing = column.map(is_missing)
        values[role] = pd.to_numeric(column.mask(missing), errors="coerce").to_numpy(float)
        faulty = column[~missing & ~np.isfinite(values[role])]
        problems += [
            f"line {line}, column {names[role]}: expected a number, found {text!r}{decimal_hint(text)}"
            for line, text in faulty.items()
        ]
    if "time" in values:
        return values["time"], problems
    return np.where(np.asarray(events) == 1, values["death"], values["follow_up"]), problems


def _patient(text: str) -> str:
    """The patient's id: of a TCGA sample its patient, anything else as it is."""
    barcode = barcodes.parse(text)
    return barcode.patient if barcode else text


def _contradictions(frame: pd.DataFrame) -> list[str]:
    """Patients whose rows disagree in time or event; rows that agree are one patient with several samples."""
    problems = [
        f"line {line}, column patient: expected an id, found a blank" for line in frame.index[frame["patient"] == ""]
    ]
    repeated = frame[frame["patient"].duplicated(keep=False)]
    for patient, rows in repeated.groupby("patient", sort=False):
        if len(rows[["time", "event"]].drop_duplicates()) > 1:
            lines = " and ".join(map(str, rows.index))
            problems.append(f"lines {lines}: patient {patient!r} with different times or events")
    return problems


def _repeated(frame: pd.DataFrame) -> list[dict]:
    """Patients whose rows agree in time and event and differ in a covariate."""
    noted = []
    for patient, rows in frame[frame["patient"].duplicated(keep=False)].groupby("patient", sort=False):
        differing = [name for name in rows.columns if rows[name].nunique() > 1]
        if differing:
            lines = " and ".join(map(str, rows.index))
            reason = f"lines {lines} differ in {', '.join(differing)}: line {rows.index[0]} is used"
            noted.append(exclusion("clinical", "patient", patient, "B-REPEATED", reason, outcome="noted"))
    return noted


def _usable(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[dict]]:
    """The patients with a time from 0 on and a known event, and those without."""
    reasons = [
        ("B-NOTIME", frame["time"].isna(), "no survival time"),
        ("B-NEGATIVE", frame["time"] < 0, "negative survival time"),
        ("B-NOEVENT", frame["event"].isna(), "no vital status"),
    ]
    left_out, gone = [], pd.Series(False, index=frame.index)
    for code, faulty, reason in reasons:
        left_out += [exclusion("clinical", "patient", name, code, reason) for name in frame["patient"][faulty & ~gone]]
        gone |= faulty
    return frame[~gone].copy(), left_out


def _covariate(column: pd.Series) -> pd.Series:
    """Numbers where every value is one, else text; None or NaN where a word for «missing» stands."""
    values = column.mask(column.map(is_missing))
    numbers = pd.to_numeric(values, errors="coerce")
    return (
        numbers.astype(float)
        if (numbers.isna() == values.isna()).all()
        else values.astype(object).where(values.notna(), None)
    )
