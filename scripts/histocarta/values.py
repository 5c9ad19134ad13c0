"""What a regression predicts of a slide: the trait's value itself, on the scale of what may be learnt from."""

import sys

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.files import write_json, write_table
from histocarta.samples import (
    batch_of_samples,
    centred,
    fitted_samples,
    join_samples,
    read_trait,
    shift_batches,
    tiled_slides,
)
from histocarta.versions import VERSION

COLUMNS = {"slide": str, "patient": str, "value": float, "target": float, "reason": str, "sample": str}
UNSCALED = {"mean": 0.0, "sd": 1.0}
MIN_SAMPLES = 10  # fewer have no rank correlation with a p (evaluation.MIN_FOR_P), nor a variance worth the name


def label_regression(
    *,
    expression: str,
    manifest: str,
    split: list[str],
    labels: str,
    summary: str,
    trait: str,
    centre: str | None,
    standardise: bool,
    min_variance: float,
    fitted_on: str,
    sheet: str | list[str] = (),
    reference_batch: str | None = None,
    test_shift: str = "non_test",
) -> None:
    """Give every slide with tiles its sample's ``value`` of ``trait`` (labels.parquet), and sum it up (labels.json).

    ``target`` is what is learnt: the value, or with ``standardise`` (value - mean) / sd. Mean and variance (population,
    ddof 0) are those of the samples that ``fitted_on`` names: "non_test", without a slide in the test part, or "all".
    sheet, reference_batch, test_shift : batches are brought to one scale first (:func:`samples.shift_batches`).
    centre : None or "patient". A trait that no table has (B-NOTRAIT), that has too few values there (B-NOVALUE) or
    varies by ``min_variance`` or less (B-VARIANCE; Wang 2021 drops genes with a variance of 0.01 in training) is
    "excluded", with an empty table. Raises InputError for no sample in common, or a split that does not fit.
    """
    rule = {"centre": centre, "standardise": standardise, "min_variance": min_variance}
    rule |= {"reference_batch": reference_batch, "test_shift": test_shift} if reference_batch else {}
    about = {"trait": trait, "rule": rule, "fitted_on": fitted_on, "version": VERSION["values"]}
    slides = tiled_slides(manifest=manifest, split=split)
    try:
        values, column = read_trait(expression, trait=trait)
    except InputError as error:
        print(f"B-NOTRAIT {error}", file=sys.stderr)
        found, fate = slides.iloc[:0], ("B-NOTRAIT", str(error))
        fit, column = {"mean": None, "variance": None, "samples": 0}, None
    else:
        found = join_samples(slides, values, expression=expression)
        if reference_batch:
            fitted = fitted_samples(found, fitted_on=fitted_on)
            samples = found.assign(fitted=fitted)[found["sample"] != ""].drop_duplicates("sample").set_index("sample")
            batch = batch_of_samples(found[found["sample"] != ""], sheet=sheet).reindex(samples.index)
            shifted = shift_batches(
                samples["value"], batch=batch, fitted=samples["fitted"], reference=reference_batch,
                test_shift=test_shift,
            )  # fmt: skip
            found = found.assign(value=shifted.reindex(found["sample"]).to_numpy())
        found = centred(found, fitted_on=fitted_on) if centre == "patient" else found
        fit = fit_values(found, fitted_on=fitted_on)
        fate = _fault(fit, min_variance=min_variance)
    scale = {"mean": fit["mean"], "sd": fit["variance"] and fit["variance"] ** 0.5} if standardise else UNSCALED
    kept = found.iloc[:0] if fate[0] else found.assign(target=(found["value"] - scale["mean"]) / scale["sd"])
    write_table(kept.reindex(columns=list(COLUMNS)).astype(COLUMNS), labels)
    status = {"status": "excluded" if fate[0] else "ok", "code": fate[0], "reason": fate[1]}
    write_json(about | status | {"column": column, "fit": fit, "scale": scale, "n": _count(found)}, summary)


def fit_values(table: pd.DataFrame, *, fitted_on: str) -> dict[str, float | int | None]:
    """Mean, population variance and number of the measured samples that are fitted on, each counted once."""
    rows = table[fitted_samples(table, fitted_on=fitted_on)]
    values = rows.drop_duplicates("sample")["value"].dropna().to_numpy()
    if not len(values):
        return {"mean": None, "variance": None, "samples": 0}
    return {"mean": float(np.mean(values)), "variance": float(np.var(values)), "samples": len(values)}


def _fault(fit: dict, *, min_variance: float) -> tuple[str, str]:
    """Code and reason why the values cannot be learnt; two blanks where they can."""
    if fit["samples"] < MIN_SAMPLES:
        return "B-NOVALUE", f"{fit['samples']} measured samples outside the test part, need {MIN_SAMPLES}"
    if not fit["variance"] > min_variance:
        return (
            "B-VARIANCE",
            f"a variance of {fit['variance']:.3g} outside the test part, need more than {min_variance:g}",
        )
    return "", ""


def _count(table: pd.DataFrame) -> dict[str, int]:
    """Slides with a value and without; the first two sum to all slides with tiles, the second holds the last two."""
    reason = table.get("reason", pd.Series(dtype=object))
    counts = {"measured": reason == "", "not_measured": reason != ""}
    counts |= {name: reason == name for name in ("no_expression", "one_sample")}
    return {name: int(rows.sum()) for name, rows in counts.items()}
