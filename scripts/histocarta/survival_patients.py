"""Which patients enter the survival analysis, and with which slide.

Levy-Jurgenson 2020, Results and Methods: patients of the test set and those out of distribution for every trait, whose
slides no model has seen; one slide each, DX1.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from histocarta.barcodes import survival_slide
from histocarta.errors import InputError


@dataclass(frozen=True)
class Step:
    """What one rule of selection left over, and whom it left out: in words, and by slide (slide, patient, code)."""

    rule: str
    slides: int
    patients: int
    left_out: str = ""
    excluded: tuple[dict[str, str], ...] = ()


def select_patients(
    index: pd.DataFrame, sheet: pd.DataFrame, clinical: pd.DataFrame, *, hti_zero: str
) -> tuple[pd.DataFrame, list[Step]]:
    """One row per patient (patient, slide, hti, time, event), and what each rule left.

    ``index``: hti.tsv as text; ``sheet``: sheets/slides.tsv; ``hti_zero``: ``dropped`` removes homogeneous slides, as
    the released code does. Of a patient's slides the lowest DX number is taken, else the first by name.
    """
    if hti_zero not in ("kept", "dropped"):
        raise InputError(f"Expected hti_zero kept or dropped, found {hti_zero!r}.")
    every = index.assign(hti=pd.to_numeric(index["hti"])).merge(sheet[["slide", "dx"]], on="slide", how="left")
    steps = [_step("slides of the heterogeneity table", every, every)]
    why = every.loc[every["hti"].isna(), "reason"].value_counts()
    left = ", ".join(f"{why[code]} {code}" for code in sorted(why.index))
    rows = every[every["hti"].notna()]
    steps.append(_step("an HTI is defined", every, rows, left, code=every["reason"].str.split(":").str[0]))
    unseen = rows[(rows["part"] == "test") | (rows["ood"] != "")]
    left = f"{len(rows) - len(unseen)} slides that trained or validated at least one trait, or lack its value"
    steps.append(_step("test set, or out of distribution for every trait", rows, unseen, left, code="V-SEEN"))
    rows = unseen
    if hti_zero == "dropped":
        rows = unseen[unseen["hti"] > 0]
        left = f"{len(unseen) - len(rows)} homogeneous slides (HTI 0), as in the released code"
        steps.append(_step("HTI above 0", unseen, rows, left, code="V-ZERO"))
    single, without_first = _one_slide_each(rows)
    left = f"{len(rows) - len(single)} further slides"
    left += f"; no DX1 slide with an HTI, lowest taken: {', '.join(without_first)}" if without_first else ""
    rule = "one slide per patient: lowest DX number, else first by name"
    steps.append(_step(rule, rows, single, left, code="V-FURTHER"))
    found = single.merge(clinical[["patient", "time", "event"]], on="patient", how="inner")
    missing = sorted(set(single["patient"]) - set(found["patient"]))
    left = f"{len(missing)} patients without survival data: {', '.join(missing)}" if missing else ""
    steps.append(_step("survival is known", single, found, left, code="V-NODATA"))
    columns = found[["patient", "slide", "hti", "time", "event"]].astype({"time": float})
    return columns.assign(event=as_events(columns["event"])).sort_values("patient", ignore_index=True), steps


def as_events(values: pd.Series) -> pd.Series:
    """A cleaned sheet's ``event`` (0, 1, true, false, or 0 and 1 as text) as booleans; InputError for any other value.

    Cast directly, the text "0" would be an event: it is not empty.
    """
    numbers = pd.to_numeric(values, errors="coerce")
    strange = values[~numbers.isin([0, 1])]
    if len(strange):
        raise InputError(
            f"Expected event 0 or 1 for every patient, found {strange.iloc[0]!r} ({len(strange)} such); write "
            "0 (censored) and 1, as the cohort's sheets/clinical.parquet does."
        )
    return numbers.astype(bool)


def _one_slide_each(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The slide with a patient's lowest DX number, else the first by name; and the patients whose lowest is not 1."""
    numbers = pd.to_numeric(rows["dx"].replace("", None))
    lowest = {
        patient: survival_slide(None if np.isnan(number) else int(number) for number in group)
        for patient, group in numbers.groupby(rows["patient"])
    }
    wanted = rows["patient"].map(lowest).astype(float)
    chosen = rows[(numbers == wanted) | wanted.isna()].sort_values("slide").drop_duplicates("patient")
    return chosen, sorted(patient for patient, number in lowest.items() if number not in (None, 1))


def _step(
    rule: str, before: pd.DataFrame, after: pd.DataFrame, left_out: str = "", *, code: str | pd.Series = ""
) -> Step:
    """A rule that left ``after`` of ``before``; ``code``: why, one for all or one per row of ``before``."""
    gone = before[["slide", "patient"]].assign(code=code)[~before["slide"].isin(after["slide"])].sort_values("slide")
    return Step(rule, len(after), after["patient"].nunique(), left_out, tuple(gone.to_dict("records")))
