"""How far models of one cohort hold in another, which no fit has seen: its values brought to scale, and one table."""

from typing import Any

import numpy as np
import pandas as pd

from histocarta.associations import FIGURES, Q, associate_slides
from histocarta.errors import InputError
from histocarta.evaluation import NAN, benjamini_hochberg
from histocarta.expression import trait_columns
from histocarta.files import read_table, write_json, write_table
from histocarta.openings import open_test_set
from histocarta.predictions import MEAN
from histocarta.samples import centre_by_patient, name_samples


def evaluate_external(
    *,
    models: list[str],
    scores: str,
    expression: str,
    manifest: str,
    fates: str,
    predictions: str,
    measured: str,
    associations: str,
    values: str,
    table: str,
    parquet: str,
    record: str,
    register: str,
    cohort: str,
    centre: str | None,
    align: str | None,
    reopen: bool,
) -> None:
    """Open the external ``cohort`` for ``models`` and write a row per gene: Spearman, p, FDR and R².

    scores : :mod:`histocarta.external_scores`. expression, manifest : the external cohort's own. fates, predictions,
    measured, associations : of the cohort that was trained on, in the same way. ``values``: what the external slides
    measured, per slide, brought to the training cohort's scale: ``align`` "median" adds to each gene what its median (a
    sample counting once) lacks of that of the training cohort outside its test part (Wang 2021), or of all of it where
    every slide is tested once; that changes R², and no rank. It takes a cohort: one patient's measurement cannot be
    aligned. Of genes that the training cohort's validation part brought forward, ``bonferroni`` is p times the number
    of those that were measured here, and ``validated`` says whether rho is positive and that is below ``Q``. A gene
    that is not measured here is named. ``record`` says what the register of openings says, and which patients stand in
    both cohorts; where there is no gene to be held against anything, the cohort is not opened.
    """
    told = read_table(fates)[["trait", "status", "code", "reason"]]
    found = read_table(scores)
    found = found[found["round"] == MEAN].sort_values("slide", ignore_index=True)
    wanted = [name for name in told.loc[told["status"] == "ok", "trait"] if name in found.columns]
    columns, absent = _columns(expression, wanted)
    told = told.set_index("trait")
    told.loc[list(absent), ["status", "code"]] = ["excluded", "B-NOTRAIT"]
    told.loc[list(absent), "reason"] = list(absent.values())
    if columns:
        record_of = open_test_set(register, test_set=f"the cohort {cohort}", models=models, reopen=reopen)
    else:  # nothing is held against anything: the cohort stays closed
        found, record_of = found.iloc[:0], {"openings": []}
    slides = _slides(found["slide"], manifest=manifest)
    own, fitted_on = _own_median(predictions, measured, names=list(columns))
    truth, offset = _measure(slides, expression=expression, columns=columns, centre=centre, align=align, own=own)
    names = pd.Series(list(columns), dtype=object)
    rows = found.merge(truth[["slide", "sample"]], on="slide")
    whole = associate_slides(rows, truth.set_index("slide"), names=names)
    frame = told.reset_index()
    at = frame["trait"].isin(names)
    position = pd.Index(names).get_indexer(frame.loc[at, "trait"])
    figures = {key: whole[key] for key in FIGURES} | {f"sample_{key}": whole[f"sample_{key}"] for key in FIGURES}
    figures |= {"fdr": benjamini_hochberg(whole["p"]), "offset": offset}
    for name, column in figures.items():
        frame[name] = NAN
        frame.loc[at, name] = np.asarray(column, float)[position]
    frame["n_tests"] = len(names)
    frame = frame.assign(**_brought_forward(frame, associations))
    for name in [name for name in frame.columns if name == "n" or name.endswith("_n")]:
        frame[name] = frame[name].astype("Int64")
    write_table(truth, values)
    write_table(frame, table)
    write_table(frame, parquet)
    shared = sorted({*truth["patient"]} & {*read_table(predictions)["patient"]})
    write_json(
        record_of | {"cohort": cohort, "align": align and fitted_on, "slides": len(truth), "shared_patients": shared},
        record,
    )


def _columns(expression: str, wanted: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The expression table's column of each gene, and why there is none of the others."""
    columns, absent = {}, {}
    for name in wanted:
        try:
            columns[name] = trait_columns(expression, [name])[0]
        except InputError as error:
            absent[name] = str(error)
    return columns, absent


def _slides(names: pd.Series, *, manifest: str) -> pd.DataFrame:
    patients = read_table(manifest).set_index("slide")["patient"]
    return pd.DataFrame({"slide": names, "patient": patients.reindex(names).to_numpy()})


def _measure(
    slides: pd.DataFrame,
    *,
    expression: str,
    columns: dict[str, str],
    centre: str | None,
    align: str | None,
    own: pd.Series,
) -> tuple[pd.DataFrame, np.ndarray]:
    """slide, patient, sample and the genes' values of the slides with a sample; what was added to each gene."""
    table = pd.read_parquet(expression, columns=sorted({*columns.values()}))
    table = table[list(columns.values())].set_axis(list(columns), axis=1).astype(float)
    if len(slides):
        slides = slides.assign(sample=name_samples(slides, table.index, expression=expression))
    slides = slides.reindex(columns=["slide", "patient", "sample"])
    slides = slides[slides["sample"] != ""]
    samples = slides.drop_duplicates("sample").set_index("sample")
    values = table.reindex(samples.index)
    if centre == "patient":
        fitted = pd.Series(True, index=samples.index)
        values = centre_by_patient(values, patients=samples["patient"], fitted=fitted)
    offset = (own - values.median()).to_numpy() if align == "median" else np.zeros(len(columns))
    measured = (values + offset).reindex(slides["sample"]).set_axis(slides.index)
    return pd.concat([slides, measured], axis=1).reset_index(drop=True), offset


def _own_median(predictions: str, measured: str, *, names: list[str]) -> tuple[pd.Series, str]:
    """Median of each gene over the training cohort's samples without a slide in a test part; "non_test".

    Where every slide is tested in some round (leave-one-out), over all its samples; "all".
    """
    told = read_table(predictions)
    told = told.loc[told["round"] == MEAN, ["slide", "sample", "part"]]
    tested = told.loc[told["part"] == "test", "sample"]
    outside = told[~told["sample"].isin(tested)]
    fitted = (told if outside.empty else outside).drop_duplicates("sample")
    values = read_table(measured).set_index("slide").reindex(index=fitted["slide"], columns=names)
    return values.quantile(), "all" if outside.empty else "non_test"


def _brought_forward(frame: pd.DataFrame, associations: str) -> dict[str, Any]:
    """What becomes here of the genes that the training cohort's validation part brought forward, where it did."""
    own = read_table(associations).set_index("trait")
    if "brought_forward" not in own:
        return {}
    forward = own["brought_forward"].astype(bool).reindex(frame["trait"]).fillna(False).to_numpy(bool)
    here = forward & frame["n"].notna().to_numpy()
    corrected = (frame["p"].fillna(1) * int(here.sum())).clip(upper=1).where(here)
    validated = here & (corrected < Q).to_numpy() & (frame["rho"] > 0).to_numpy()
    return {"brought_forward": forward, "bonferroni": corrected, "validated": validated}
