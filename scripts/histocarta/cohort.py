"""How slides, expression and clinical data of a cohort meet: by patient, and only where sample types agree."""

from collections.abc import Sequence

import pandas as pd

from histocarta import barcodes
from histocarta.clinical import read_clinical
from histocarta.errors import InputError
from histocarta.expression import read_expression
from histocarta.files import write_table
from histocarta.sheet_columns import ignored_columns
from histocarta.sheets import read_slides, slides_from_gdc_manifest
from histocarta.tables import exclusion, exclusions_table, totals


def prepare_cohort(
    *,
    slides: str,
    expression: str,
    clinical: str,
    exclusions: str,
    tables: Sequence[dict[str, str]],
    time_unit: str,
    sample_types: Sequence[str],
    match_sample_types: bool = True,
    slides_sheet: str | None = None,
    gdc_manifest: str | None = None,
    slides_folder: str | None = None,
    clinical_sheet: str | None = None,
) -> None:
    """Write a cohort's cleaned tables: slides, expression (patients × traits), clinical, and what was left out.

    What was left out stands between how many came in and how many went on, so that the ledger can add them up.

    ``tables``: path, orientation, scale and duplicates of each expression matrix. Of a patient's aliquots one is chosen
    (:func:`histocarta.barcodes.choose_aliquot`), of the first of ``sample_types`` that the patient has. With
    ``match_sample_types`` a slide of another type than its patient's expression is excluded. Patients with clinical
    data but no slide keep their expression: the published percentiles are fitted on them too.
    """
    sheet = (
        slides_from_gdc_manifest(gdc_manifest, folder=slides_folder or "", sample_types=sample_types)
        if gdc_manifest
        else read_slides(slides_sheet)
    )
    # A sample may be named like a slide (cores of one patient, each with its own expression) or like a patient.
    measured = set(sheet["patient"]) | set(sheet["slide"])
    patients, left_out = set(measured), []
    survival = pd.DataFrame({"patient": [], "time": [], "event": []}).astype({"patient": str, "event": int})
    if clinical_sheet:
        survival, without = read_clinical(clinical_sheet, time_unit=time_unit)
        followed = set(survival["patient"]) | set(without.loc[without["outcome"] == "excluded", "item"])
        if not followed & set(sheet["patient"]):
            raise InputError(
                f"Expected slides and survival of the same patients, found no patient of a slide in {clinical_sheet}: "
                f"slides are of patients such as {min(sheet['patient'])!r}, the sheet has {min(followed)!r}"
            )
        patients |= followed
        left_out.append(without)
    values, types, without = _joined_tables(tables, patients=patients, with_slides=measured, sample_types=sample_types)
    left_out += [without, _ignored(slides_sheet)]
    if match_sample_types:
        sheet["exclude"] = [_disagreement(row, types) for row in sheet.to_dict("records")]
        left_out.append(_unchecked(sheet, types, usual=sample_types[0]))
    _say_counts(sheet, values, survival)
    write_table(sheet, slides)
    write_table(values, expression, index=True)
    write_table(survival, clinical)
    write_table(pd.concat(left_out, ignore_index=True), exclusions)


class _Aliquots:
    """Chooses one sample per patient among a table's sample names and remembers what it passed over."""

    def __init__(self, patients: set[str], sample_types: Sequence[str], *, path: str) -> None:
        self.patients, self.sample_types, self.path = patients, list(sample_types), path
        self.seen, self.found = "", 0
        self.patient_of: dict[str, str] = {}
        self.type_of: dict[str, str] = {}
        self.left_out: list[dict] = []

    def __call__(self, names: Sequence[str]) -> list[str]:
        """The names to read, one per patient."""
        self.seen, self.found = self.seen or next(iter(names), ""), len(names)
        self.patient_of, self.type_of, self.left_out = {}, {}, []
        candidates: dict[str, list[tuple[str, str]]] = {}
        strangers = 0
        for name in names:
            barcode = None if name in self.patients else barcodes.parse(name)
            patient = barcode.patient if barcode else name
            if barcode is None and name not in self.patients and barcodes.looks_like_tcga(name):
                self.left_out.append(exclusion("expression", "sample", name, "B-BARCODE", "not a TCGA barcode"))
            elif patient not in self.patients:
                strangers += 1
            elif barcode and barcode.sample_type and barcode.sample_type not in self.sample_types:
                why = f"sample type {barcode.sample_type}: the cohort uses {', '.join(self.sample_types)}"
                self.left_out.append(exclusion("expression", "sample", name, "B-TYPE", why))
            else:
                candidates.setdefault(patient, []).append((name, (barcode and barcode.sample_type) or ""))
        for patient, samples in candidates.items():
            self._choose(patient, samples)
        if strangers:
            # Not one by one: a table of all of TCGA has 10,000 of them beside a cohort of 500.
            reason = f"{strangers:,} samples of patients with neither slide nor clinical data"
            self.left_out.append(
                exclusion("expression", "sample", "other patients", "B-STRANGER", reason, count=strangers)
            )
        return list(self.patient_of)

    def _choose(self, patient: str, samples: list[tuple[str, str]]) -> None:
        rank = {kind: number for number, kind in enumerate(self.sample_types)}
        best = min((kind for _, kind in samples), key=lambda kind: rank.get(kind, -1))
        names = [name for name, kind in samples if kind == best]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(
                f"Expected every sample once in {self.path}, found {twice!r} {names.count(twice)} times among the "
                "samples; remove or rename all but one"
            )
        chosen, rule = barcodes.choose_aliquot(names)
        self.patient_of[chosen], self.type_of[patient] = patient, best
        for name, kind in samples:
            if name != chosen:
                why = f"{chosen} chosen by: {rule if kind == best else 'preferred sample type'}"
                self.left_out.append(exclusion("expression", "sample", name, "B-ALIQUOT", why))


def _joined_tables(
    tables: Sequence[dict[str, str]], *, patients: set[str], with_slides: set[str], sample_types: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, str], pd.DataFrame]:
    """All matrices side by side (patients × traits), each patient's sample type, and what was left out.

    Where tables hold different sample types of a patient, the first table's counts and the other's values are left out.
    A sample named by its patient has no known type: it differs from none, and another table may state it.
    """
    frames, left_out, types = [], [], {}
    for table in tables:
        choose = _Aliquots(patients, sample_types, path=table["path"])
        values, without = read_expression(**table, choose=choose)
        if not with_slides & set(choose.type_of):
            raise InputError(
                f"Expected slides and expression of the same patients, found no patient of a slide in {table['path']}: "
                f"slides are of patients such as {min(with_slides)!r}, samples are named like {choose.seen!r}"
            )
        values.index = pd.Index([choose.patient_of[name] for name in values.index], name="sample")
        types |= {patient: types.get(patient) or kind for patient, kind in choose.type_of.items()}
        differing = [patient for patient, kind in choose.type_of.items() if kind and types[patient] != kind]
        reason = f"{table['path']} holds another sample type than the tables before it"
        mismatch = [exclusion("expression", "sample", patient, "B-TYPE", reason) for patient in differing]
        frames.append(values.drop(index=differing))
        sums = totals(
            "expression", "sample", found=choose.found, used=len(frames[-1]), what=f"samples of {table['path']}"
        )
        left_out += [without, exclusions_table([*choose.left_out, *mismatch, *sums])]
    if not frames:  # a cohort of spatially measured sections
        return pd.DataFrame(index=pd.Index([], name="sample", dtype=str)), types, exclusions_table([])
    joined = pd.concat(frames, axis=1)
    twice = joined.columns[joined.columns.duplicated()].unique()
    if len(twice):
        both = [table["path"] for table, frame in zip(tables, frames, strict=True) if twice[0] in frame]
        raise InputError(
            f"Expected every trait in one expression table, found {twice[0]!r} in {' and in '.join(both)} "
            f"({len(twice)} such name(s)); leave it out of one"
        )
    return joined.sort_index().rename_axis("sample"), types, pd.concat(left_out, ignore_index=True)


def _ignored(slides_sheet: str | None) -> pd.DataFrame:
    """A note on each column of the slide sheet that nothing here reads."""
    why = "no column that a slide sheet is read for; not used"
    names = ignored_columns(slides_sheet) if slides_sheet else []
    return exclusions_table([exclusion("sheet", "column", name, "B-COLUMN", why, outcome="noted") for name in names])


def _disagreement(row: dict[str, str], types: dict[str, str]) -> str:
    """The slide's reason to be excluded: what the sheet says, or a sample type that is not its expression's."""
    measured = types.get(row["patient"], "")
    if row["exclude"] or not measured or not row["sample_type"] or row["sample_type"] == measured:
        return row["exclude"]
    return f"sample type {row['sample_type']}: the patient's expression is of type {measured}"


def _unchecked(sheet: pd.DataFrame, types: dict[str, str], *, usual: str) -> pd.DataFrame:
    """A note on each slide of another type than the cohort's usual one that nothing says is its expression's or not."""
    kept = sheet[(sheet["exclude"] == "") & (sheet["sample_type"] != "")]
    kept = kept[kept["patient"].map(types) == ""]
    why = "could not be checked: expression is named by patient"
    if len(kept):
        print(f"the sample types of {len(kept)} slides {why}")
    return exclusions_table(
        [
            exclusion("sheet", "slide", row.slide, "B-NOTYPE", f"sample type {row.sample_type} {why}", outcome="noted")
            for row in kept[kept["sample_type"] != usual].itertuples()
        ]
    )


def _say_counts(sheet: pd.DataFrame, values: pd.DataFrame, survival: pd.DataFrame) -> None:
    """Counts of the overlaps, for the log."""
    with_slides, measured, followed = set(sheet["patient"]), set(values.index), set(survival["patient"])
    print(
        f"{len(sheet)} slides ({(sheet['exclude'] != '').sum()} excluded) of {len(with_slides)} patients; "
        f"{len(with_slides & measured)} of them with expression, {len(with_slides & followed)} with survival; "
        f"{len(measured - with_slides)} patients with expression but without a slide"
    )
